-- SPDX-License-Identifier: Apache-2.0
-- Who holds a system. Part of the library that core.lua begins.

-- ---- the holder of a system ------------------------------------------------------------------------------------

local MARKS = { power = true, line = true, again = true, typed = true }
local UNKNOWN = 'unknown' -- what was done is not known

-- The marks of a system's holder: words. A library that knew none wrote none.
local function marks_of(system)
    return call('HGET', key('system', system), 'marks') or UNKNOWN
end

-- True: there was one among these that it did not have. What is unknown stays so.
local function add_marks(system, marks)
    local known = marks_of(system)
    local more = marks:find(UNKNOWN, 1, true) and UNKNOWN or known
    for mark in marks:gmatch('%a+') do
        if more ~= UNKNOWN and not more:find(mark, 1, true) then
            more = more == '' and mark or more .. ' ' .. mark
        end
    end
    if more ~= known then
        call('HSET', key('system', system), 'marks', more)
    end
    return more ~= known
end

-- The task, if this worker holds the system with this fence for this job; else nil.
local function held_task(id, system, worker, fence)
    local holder = call('HMGET', key('system', system), 'job', 'fence', 'worker')
    if holder[1] ~= id or holder[2] ~= fence or holder[3] ~= worker then
        return nil
    end
    return read_task(id, system)
end

local function next_fence(now)
    local previous = number(call('GET', key('fence')))
    local fence = text(math.max(previous + 1, now))
    call('SET', key('fence'), fence)
    return fence
end

-- What a device is held by: what it says it is, and that with its key.
local function names_of_device(device)
    local uuid = uuid_of(device)
    return uuid == device and { device ~= '' and device or nil } or { device, uuid }
end

-- The keys of the system's device that are its own.
local function device_keys(system)
    local keys = {}
    for _, each in ipairs(names_of_device(call('HGET', key('system', system), 'device') or '')) do
        if call('GET', key('device', each)) == system then
            keys[#keys + 1] = key('device', each)
        end
    end
    return keys
end

local function free_device(system)
    local keys = device_keys(system)
    if #keys > 0 then
        call('DEL', unpack(keys))
    end
end

-- Tasks of other jobs that joined the holder. They stand under a key of this holder alone, since its end may be told to
-- many of them only when the system has another one. The holder of an older library has the key without a name.
local function waiters_of(system)
    local by = call('HGET', key('system', system), 'waiters')
    return by and key('system', system, 'waiters', by) or key('system', system, 'waiters')
end

local function join_holder(now, id, system)
    if not call('HGET', key('system', system), 'waiters') and
        call('EXISTS', key('system', system, 'waiters')) == 0 then
        call('HSET', key('system', system), 'waiters', call('HGET', key('system', system), 'fence') or '')
    end
    call('ZADD', waiters_of(system), 'NX', text(now), id)
end

-- Frees the system. Returns the key of those that had joined.
local function free_system(system)
    local waiters = waiters_of(system)
    call('DEL', key('system', system), unpack(device_keys(system)))
    call('ZREM', key('leases'), system)
    return waiters
end

-- What is still to be told to tasks that joined.
local TOLD_LATER = '{amtu}:system::told'

-- Tells some of those that joined, in the order they did, how their system ended, or (state Q) that they wait again: the
-- first that is claimed holds the system, and the others join it. (If only the first went back to its queue, the others
-- would hang when it is cancelled before its claim.) True: there are more.
local function tell_some(now, waiters, system, state, reason, step)
    local jobs = call('ZRANGE', waiters, 0, JOINED_A_CALL - 1)
    for _, id in ipairs(jobs) do
        local task = read_task(id, system)
        if task and task.state == 'J' and state == 'Q' then
            requeue(now, id, system, task)
        elseif task and task.state == 'J' then
            end_task(now, id, system, task, state, reason, step)
        end
        call('ZREM', waiters, id)
    end
    return #jobs == JOINED_A_CALL and call('EXISTS', waiters) == 1
end

local function tell_joined(now, waiters, system, state, reason, step)
    local more = tell_some(now, waiters, system, state, reason, step)
    while more and waiters == key('system', system, 'waiters') do -- another holder may have the same key soon
        more = tell_some(now, waiters, system, state, reason, step)
    end
    if more then
        call('RPUSH', TOLD_LATER, table.concat({ waiters, system, state, reason, step }, '\n'))
        wake_workers()
    end
end

-- One step of what is told later. True: there was something.
local function tell_next(now)
    local entry = call('LRANGE', TOLD_LATER, 0, 0)[1]
    if entry then
        local waiters, system, state, reason, step = entry:match('^(.-)\n(.-)\n(.-)\n(.-)\n(.*)$')
        if not waiters or not tell_some(now, waiters, system, state, reason, step) then
            call('LPOP', TOLD_LATER)
        end
    end
    return entry and true or false
end

local CANCELLED = 'cancelled'

-- Ends an unlock: the task, and all tasks that joined it; those of other jobs wait again where it was cancelled.
local function finish_system(now, id, system, task, state, reason, step, blameless)
    local waiters = free_system(system)
    if not blameless then
        note_result(now, system, state, reason)
    end
    end_task(now, id, system, task, state, reason, step)
    tell_joined(now, waiters, system, reason == CANCELLED and 'Q' or state, reason, step)
end

-- The worker lost or released this system. A task past its intent goes to L (verify), never to Q: the PC may have been
-- powered.
local function hand_back(now, id, system, task)
    if task and INTENDED[task.state] then
        move_task(now, id, system, task, 'L')
        call('HSET', key('system', system), 'worker', '')
        call('ZREM', key('leases'), system)
        call('RPUSH', VERIFY_QUEUE, id .. '|' .. system)
        wake_workers()
        return
    end
    tell_joined(now, free_system(system), system, 'Q', '', '')
    if task and task.state == 'C' then
        requeue(now, id, system, task)
    end
end

-- The lease was not renewed. After an intent the worker may have a request under way and may wake again, so no new
-- unlock of this PC begins for a minute; verifying may.
local function expire_lease(now, system)
    local id = call('HGET', key('system', system), 'job')
    local task = id and read_task(id, system)
    if task and INTENDED[task.state] then
        call('SET', key('cool', system), '1', 'PX', COOLDOWN_MS)
    end
    hand_back(now, id, system, task)
    tally('reaped')
end

-- The other system as which this device is being unlocked: two lines of the inventory may name one device. A UUID is what
-- a device says, so one that shows another key in TLS is another device; where one of the two has no TLS, only the UUID
-- can be compared.
local function device_holder(device, system)
    local uuid = uuid_of(device)
    for _, each in ipairs(names_of_device(device)) do
        local other = call('GET', key('device', each))
        local held = other and other ~= system and call('HGET', key('system', other), 'device')
        if held and (held == device or held == uuid or device == uuid and uuid_of(held) == uuid) then
            return other
        end
    end
    return nil
end

local function hold_device(device, system)
    for _, each in ipairs(names_of_device(device)) do
        call('SET', key('device', each), system)
    end
end

-- Frees a system whose task was cancelled after its claim, for tasks that joined; a web verb may not free it.
local function free_cancelled(now, id, system, task)
    if task and task.state == 'X' then
        hand_back(now, id, system, task)
    end
end

local function refuse(id, system)
    local task = read_task(id, system)
    return { 'refused', task and 'the task is ' .. task.state .. ', fence ' .. task.fence:sub(1, 20) or 'no such task' }
end
