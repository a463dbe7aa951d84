-- SPDX-License-Identifier: Apache-2.0
-- Tasks and jobs. Part of the library that core.lua begins.

-- ---- a task ----------------------------------------------------------------------------------------------------

local TASK = '^(%u)|(%d*)|(%d*)|([^|]*)|([^|]*)|(%d*)|(%d*)|([^|]*)$'

-- nil if `packed` is no task.
local function unpack_task(packed)
    local task = {}
    if not packed or not packed:find(TASK) then
        return nil
    end
    task.state, task.fence, task.intent_fence, task.worker, task.step, task.deadline, task.time, task.reason =
        packed:match(TASK)
    return task
end

local function pack_task(task)
    return table.concat({ task.state, task.fence, task.intent_fence, task.worker, task.step, task.deadline, task.time,
        task.reason }, '|')
end

local function new_task(now, state, reason)
    return { state = state, fence = '', intent_fence = '', worker = '', step = '', deadline = '', time = text(now),
        reason = reason }
end

local function clean_step(step)
    return (step:gsub('[|%c]', ' '))
end

local function read_task(id, system)
    return unpack_task(call('HGET', key('job', id, 'tasks'), system))
end

-- Waiting systems of all callers.
local function all_waiting()
    local waiting = call('HGET', TOTALS, 'waiting')
    if waiting then
        return number(waiting)
    end
    waiting = 0 -- an older library did not keep the sum
    for _, owner in ipairs(call('ZRANGE', key('callers'), 0, -1)) do
        waiting = waiting + number(call('HGET', key('caller', owner), 'waiting'))
    end
    return waiting
end

local function count_waiting(owner, n)
    if not call('HGET', TOTALS, 'waiting') then
        call('HSET', TOTALS, 'waiting', text(all_waiting()))
    end
    call('HINCRBY', TOTALS, 'waiting', n)
    call('HINCRBY', key('caller', owner), 'waiting', n)
end

-- Counts n tasks of a job from one standing to another, and the caller's waiting tasks for its limit.
local function move_count(id, from, to, n)
    if from == to or n == 0 then
        return
    end
    call('HINCRBY', key('job', id), from, -n)
    call('HINCRBY', key('job', id), to, n)
    if from == 'waiting' or to == 'waiting' then
        local owner = call('HGET', key('job', id), 'owner') or ''
        count_waiting(owner, from == 'waiting' and -n or n)
    end
end

-- Counts a change of what readers of the job are shown: what was read at one count need not be read again.
local function note_change(now, id)
    call('HSET', key('job', id), 'changed', text(now))
    call('HINCRBY', key('job', id), 'changes', 1)
end

local function move_task(now, id, system, task, state)
    local from = STANDING[task.state]
    task.state, task.time = state, text(now)
    call('HSET', key('job', id, 'tasks'), system, pack_task(task))
    note_change(now, id)
    move_count(id, from, STANDING[state], 1)
end

-- ---- a job -----------------------------------------------------------------------------------------------------

local function has_ended(state)
    return state == COMPLETED or state == TERMINATED
end

-- Of MESSAGE the part that only depends on the message id, not on the names; of a device what it says it is.
local function uuid_of(name)
    return string.match(name, '^[^/]*')
end

-- ---- what is kept ----------------------------------------------------------------------------------------------

-- A caller is charged for what is kept for it: KIND j, a job with its names, until that expires or is deleted; KIND u,
-- such a job of a caller who might unlock nothing; KIND c, an enumeration with its items. Of all callers together the
-- bytes of refused names and the items are counted. An entry of KEPT holds what is to be given back when its time has
-- come, since a key that expires says nothing.

local BYTES_OF = { j = 'refused', u = 'unscoped' } -- the field of TOTALS

-- By the scope that a job keeps.
local function kind_of_job(scope)
    return scope == '' and 'u' or 'j'
end

local function charge_of(kind, id, owner, names, bytes)
    return table.concat({ kind, id, owner, names, bytes }, '|')
end

-- A count that went below 0 was wrong before.
local function count_at(at, field, n)
    if call('HINCRBY', at, field, text(n + 0)) < 0 then -- -0 is no integer to Redis
        call('HSET', at, field, '0')
    end
end

local function count_charge(kind, owner, names, bytes, sign)
    count_at(key('caller', owner), 'names', sign * names)
    if BYTES_OF[kind] then
        count_at(key('caller', owner), 'kept', sign)
        count_at(key('caller', owner), 'bytes', sign * bytes)
        count_at(TOTALS, BYTES_OF[kind], sign * bytes)
    else
        count_at(TOTALS, 'items', sign * names)
    end
end

local function forget_caller(owner)
    call('DEL', key('caller', owner))
    call('ZREM', key('callers'), owner)
end

-- Gives back what the entry says, once.
local function give_back(entry)
    local kind, id, owner, names, bytes = entry:match('^([juc])|([^|]*)|([^|]*)|(%d+)|(%d+)$')
    if call('ZREM', KEPT, entry) == 0 or not kind then
        return
    end
    count_charge(kind, owner, number(names), number(bytes), -1)
    if BYTES_OF[kind] then
        call('ZREM', key('jobs', owner), id)
    end
    if call('EXISTS', key('jobs', owner)) == 0 then
        forget_caller(owner)
    end
end

local function give_back_expired(now, limit)
    local entries = call('ZRANGEBYSCORE', KEPT, '-inf', text(now), 'LIMIT', 0, limit)
    for _, entry in ipairs(entries) do
        give_back(entry)
    end
    return #entries
end

-- The list of a caller's jobs stays as long as any of them.
local function let_list_expire(now, owner, milliseconds)
    local till = math.max(number(call('HGET', key('caller', owner), 'till')), now + milliseconds * 1000)
    call('HSET', key('caller', owner), 'till', text(till))
    if number(call('HGET', key('caller', owner), 'unfinished')) <= 0 then
        call('HSET', key('caller', owner), 'unfinished', '0', 'waiting', '0')
        call('PEXPIRE', key('jobs', owner), text(math.min(math.ceil((till - now) / 1000), RETENTION_MOST_MS)))
    end
end

-- Ends the job if no task waits or runs. The one place where a job ends and its keys get their TTL.
local function complete_if_done(now, id)
    local state, waiting, running, cancelled, retention, owner, message, names, bytes, scope = unpack(call('HMGET',
        key('job', id), 'state', 'waiting', 'running', 'cancelled', 'retention', 'owner', 'message', 'names', 'bytes',
        'scope'))
    if not state or has_ended(state) or number(waiting) ~= 0 or number(running) ~= 0 then
        return
    end
    call('HSET', key('job', id), 'state', cancelled == '1' and TERMINATED or COMPLETED, 'completed', text(now))
    note_change(now, id)
    call('ZREM', key('jobs'), id)
    call('ZREM', key('deadlines'), id)
    owner = owner or ''
    local milliseconds = math.min(math.max(math.ceil(number(retention) / 1000), 0), RETENTION_MOST_MS)
    for _, each in ipairs({ key('job', id), key('job', id, 'tasks'), key('job', id, 'names'),
        key('message', owner, message or ''), key('message', owner, uuid_of(message or '')) }) do
        call('PEXPIRE', each, text(milliseconds))
    end
    if names then -- else the job is of an older library, which did not charge
        local charge = charge_of(kind_of_job(scope), id, owner, names, bytes or 0)
        call('ZADD', KEPT, text(now + milliseconds * 1000), charge)
    end
    call('HINCRBY', key('caller', owner), 'unfinished', -1)
    let_list_expire(now, owner, milliseconds)
    if call('EXISTS', key('jobs')) == 0 then
        call('HSET', TOTALS, 'waiting', '0')
    end
end

local function end_task(now, id, system, task, state, reason, step)
    task.reason, task.step = reason, step
    move_task(now, id, system, task, state)
    tally(state == 'U' and 'unlocked' or 'failed:' .. reason)
    complete_if_done(now, id)
end

-- Removes the lines of a job, so that cancelled jobs cannot pile up in queues that no worker serves.
local function drop_lines(id)
    local owner = call('HGET', key('job', id), 'owner') or ''
    local prefix = id .. ':'
    for _, line in ipairs(call('ZRANGE', key('turns', owner), 0, LINES_MOST - 1)) do
        if line:sub(1, #prefix) == prefix then
            call('UNLINK', key('queue', line))
            call('ZREM', key('turns', owner), line)
        end
    end
    if call('EXISTS', key('turns', owner)) == 0 then
        call('ZREM', ROUND_ROBIN, owner)
    end
end

-- Ends every task of the job that is in one of `states`.
local function end_tasks(now, id, states, state, reason)
    local changed, count = {}, { waiting = 0, running = 0 }
    local sound = call('HLEN', key('job', id, 'tasks')) <= NAMES_MOST
    if not sound then -- this library did not write them
        call('UNLINK', key('job', id, 'tasks'))
        call('HSET', key('job', id), 'waiting', '0', 'running', '0')
    end
    local all = sound and call('HGETALL', key('job', id, 'tasks')) or {}
    for i = 1, #all, 2 do
        local task = unpack_task(all[i + 1])
        if task and states[task.state] then
            local standing = STANDING[task.state]
            count[standing] = count[standing] + 1
            task.state, task.reason, task.time = state, reason, text(now)
            changed[#changed + 1] = all[i]
            changed[#changed + 1] = pack_task(task)
        end
    end
    if #changed > 0 then
        write_many('HSET', key('job', id, 'tasks'), changed)
        note_change(now, id)
        move_count(id, 'waiting', STANDING[state], count.waiting)
        move_count(id, 'running', STANDING[state], count.running)
        tally('failed:' .. reason, #changed / 2)
    end
    drop_lines(id)
    complete_if_done(now, id)
end

-- Ends tasks that were not claimed in time: Friday's job must not boot PCs on Monday.
local function end_overdue(now, id)
    local state, start_by = unpack(call('HMGET', key('job', id), 'state', 'start_by'))
    if state and not has_ended(state) and number(start_by) < now then
        call('ZREM', key('deadlines'), id)
        end_tasks(now, id, { Q = true }, 'F', 'timeout')
    end
end

local function end_all_overdue(now, limit)
    local overdue = call('ZRANGEBYSCORE', key('deadlines'), '-inf', text(now), 'LIMIT', 0, limit)
    for _, id in ipairs(overdue) do
        end_overdue(now, id)
        call('ZREM', key('deadlines'), id)
    end
    return #overdue
end

local function start_job(now, id)
    if call('HGET', key('job', id), 'state') == NEW then
        call('HSET', key('job', id), 'state', RUNNING, 'started', text(now))
    end
end
