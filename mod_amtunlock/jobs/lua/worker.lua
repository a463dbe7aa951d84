-- SPDX-License-Identifier: Apache-2.0
-- The workers' verbs. Part of the library that core.lua begins.
do -- names of its own: Lua allows 200 in one block

-- ---- what a worker holds ---------------------------------------------------------------------------------------

-- A worker renews the systems that it names. One that it has not named for the time of a lease it does not know of,
-- because the answer to its claim was lost: that lease expires.
local function expire_unnamed(now, worker)
    local expired = 0
    for _, system in ipairs(call('ZRANGEBYSCORE', key('leases'), '-inf', text(now), 'LIMIT', 0, CHANGES_A_CALL)) do
        if call('HGET', key('system', system), 'worker') == worker and expired < REAPED_A_CALL then
            expire_lease(now, system)
            expired = expired + 1
        end
    end
end

-- Whether the worker goes on with it; what it does not is over here.
local function keeps_task(now, id, system, task)
    if not task then
        return false
    elseif task.state ~= 'C' and not INTENDED[task.state] then -- cancelled
        hand_back(now, id, system, task)
        return false
    elseif task.state == 'K' and number(task.deadline) < now then
        finish_system(now, id, system, task, 'F', 'indeterminate', task.step)
        return false
    end
    return true
end

-- The third element of the answer: how many of the tasks were looked at. The rest is to be named again.
function verbs.renew(now, read)
    local worker, about, last = read.take(3)
    local lease = read.number()
    local lost, kept = {}, {}
    while read.more() and #lost < REAPED_A_CALL and #kept < VALUES_A_CALL do
        local id, system, fence = read.take(3)
        if keeps_task(now, id, system, held_task(id, system, worker, fence)) then
            kept[#kept + 1] = text(now + lease)
            kept[#kept + 1] = system
        else
            lost[#lost + 1] = { id, system, fence }
        end
    end
    write_many('ZADD', key('leases'), kept)
    last = read.more() and '0' or last
    if last == '1' then
        expire_unnamed(now, worker)
    end
    if last == '1' or #kept + #lost == 0 then -- nothing named and not the last: a heartbeat alone
        call('SET', key('worker', worker), about, 'PX', text(math.ceil(lease / 2000)))
        call('ZADD', key('workers'), text(now), worker)
        call('ZREMRANGEBYSCORE', key('workers'), '-inf', text(now - 2 * lease))
    end
    return { 'ok', lost, text(#kept / 2 + #lost) }
end

-- Why its holder may not go on with a task, as the answer; nil: it may. `allows`: the task is at the right place for it.
local function holder_refused(now, id, system, task, allows)
    if not allows then
        free_cancelled(now, id, system, task)
        return refuse(id, system)
    end
    return number(call('ZSCORE', key('leases'), system)) < now and { 'refused', 'the lease has ended' } or nil
end

-- A task that was taken over goes on for so many times the time that its first worker was given.
local GOES_ON_FOR = 4

-- Until when a task must have ended that is intended now, and since when it is intended.
local function deadline_of(now, system, deadline)
    local since = math.min(number(call('HGET', key('system', system), 'since') or now), now)
    return math.min(now + deadline, since + GOES_ON_FOR * deadline), since
end

-- A task has one intent at a time. Who takes it over writes another one before it acts, unless a passphrase has left, or
-- nobody knows what has.
local function may_intend(task, system)
    if task.state == 'C' then
        return task.intent_fence == ''
    end
    local marks = marks_of(system)
    return task.state == 'K' and marks ~= UNKNOWN and not marks:find('typed', 1, true)
end

function verbs.intend(now, read)
    local worker, id, system, fence, step = read.take(5)
    local not_after, deadline = read.number(), read.number()
    local device, intent = read.take(2)
    if is_late(now, not_after) then
        return { 'late' }
    end
    local task = held_task(id, system, worker, fence)
    if task and task.state == 'I' and task.intent_fence == fence then
        return { 'already' }
    end
    local refused = holder_refused(now, id, system, task, task and may_intend(task, system))
    if refused then
        return refused
    end
    local marks = task.state == 'K' and marks_of(system) or ''
    if task.state == 'K' and marks == '' and call('HGET', key('job', id), 'cancelled') == '1' then
        return { 'cancelled', 'its job was cancelled, and no worker before had powered it' }
    end
    local other = device_holder(device, system)
    if other then
        return { 'conflict', 'the same device is being unlocked as ' .. other }
    end
    local till, since = deadline_of(now, system, deadline)
    task.intent_fence, task.step, task.deadline = fence, clean_step(step), text(till)
    free_device(system) -- that of an intent before
    call('HSET', key('system', system), 'intent', intent, 'device', device, 'since', text(since), 'marks', marks)
    hold_device(device, system)
    move_task(now, id, system, task, 'I')
    return { 'ok' }
end

local ACTING = { I = true, P = true, B = true }

local ASKS = { line = true, again = true }

-- Notes what may be done to the PC from now on, and only once.
function verbs.mark(now, read)
    local worker, id, system, fence = read.take(5)
    if is_late(now, read.number()) then
        return { 'late' }
    end
    local mark = read.take(1)
    local task = held_task(id, system, worker, fence)
    local acts = task and ACTING[task.state] and task.intent_fence == fence and MARKS[mark]
    local allows = acts or task and task.state == 'K' and ASKS[mark] -- one that only looks may ask for the prompt
    return holder_refused(now, id, system, task, allows) or { add_marks(system, mark) and 'ok' or 'already' }
end

local BEFORE = { P = { I = true, P = true }, B = { I = true, P = true, B = true } }

function verbs.progress(now, read)
    local worker, id, system, fence, step, state = read.take(6)
    local task = held_task(id, system, worker, fence)
    if not task or not (BEFORE[state] and BEFORE[state][task.state]) then
        return refuse(id, system)
    end
    step = clean_step(step)
    if task.state == state and task.step == step then
        return { 'already' }
    end
    task.step = step
    move_task(now, id, system, task, state)
    return { 'ok' }
end

-- The time that a worker before took for this PC and did not come to use: it is nobody else's. One that is over counts no
-- more, or all that went by while nobody ran would be powered at once; nor does one from before Redis' clock was set back.
local function kept_time(now, system, limit)
    local at, taken, of = (call('HGET', key('system', system), 'power_at') or ''):match('^(%d+)|(%d+)|(.*)$')
    return of == limit and number(taken) <= now and number(at) > now and number(at) or nil
end

-- Takes the next time at which a PC of the group may be powered; the task has its intent by then.
function verbs.power_rate(now, read)
    local worker, id, system, fence = read.take(4)
    local limit = 'power:' .. select(2, read.take(2))
    local interval = read.number()
    local task = held_task(id, system, worker, fence)
    if not task or task.state ~= 'I' then
        return refuse(id, system)
    end
    local at = kept_time(now, system, limit)
    if not at then
        at = take_time(now, limit, interval, RATE_MOST)
        call('HSET', key('system', system), 'power_at', table.concat({ text(at), text(now), limit }, '|'))
    end
    return { 'ok', text(at - now) }
end

function verbs.finish(now, read)
    local worker, id, system, fence, step, state, reason = read.take(7)
    if state ~= 'U' and state ~= 'F' then
        error('a task ends U or F, not ' .. state)
    end
    local blameless = read.more() and read.take(1) == 'blameless' -- it failed, and not for a cause of this PC
    local task = held_task(id, system, worker, fence)
    if task and (task.state == 'C' or INTENDED[task.state]) then
        finish_system(now, id, system, task, state, reason, clean_step(step), blameless)
        return { 'ok' }
    end
    free_cancelled(now, id, system, task)
    task = read_task(id, system)
    if task and task.state == state and task.reason == reason and task.fence == fence and task.worker == worker then
        return { 'already' }
    end
    return refuse(id, system)
end

function verbs.release(now, read)
    local worker, id, system, fence, step = read.take(5)
    local task = held_task(id, system, worker, fence)
    if task then
        task.step = clean_step(step)
        hand_back(now, id, system, task)
        return { 'ok' }
    end
    task = read_task(id, system)
    if task and (task.state == 'Q' or task.state == 'L') and task.fence == fence and task.worker == worker then
        return { 'already' }
    end
    return refuse(id, system)
end

end
