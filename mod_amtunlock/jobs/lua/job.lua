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

-- Waiting systems of all callers.
local function all_waiting()
    local waiting = call('HGET', TOTALS, 'waiting')
    if waiting then
        return number(waiting)
    end
    waiting = 0 -- an older library did not keep the sum
    for _, owner in ipairs(call('ZRANGE', key('callers'), 0, VALUES_A_CALL - 1)) do
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

-- Counts a change of what readers of the job are shown: what was read at one count need not be read again.
local function note_change(now, id)
    local changes = number(call('HGET', key('job', id), 'changes'))
    call('HSET', key('job', id), 'changed', text(now), 'changes', text(changes + 1))
end

-- Notes a change, and counts n tasks of a job from one standing to another, and the caller's waiting tasks for its limit.
-- Returns how many are left of the first.
local function move_count(now, id, from, to, n)
    local counts = call('HMGET', key('job', id), 'changes', from, to)
    local left = number(counts[2]) - n
    call('HSET', key('job', id), 'changed', text(now), 'changes', text(number(counts[1]) + 1), from, text(left), to,
        text(number(counts[3]) + n))
    if from == 'waiting' or to == 'waiting' then
        local owner = call('HGET', key('job', id), 'owner') or ''
        count_waiting(owner, from == 'waiting' and -n or n)
    end
    return left
end

-- Returns how many of the job are left where the task was, if it is counted elsewhere now; else nil.
local function move_task(now, id, system, task, state)
    local from, to = STANDING[task.state], STANDING[state]
    task.state, task.time = state, text(now)
    call('HSET', key('job', id, 'tasks'), system, pack_task(task))
    if from == to then
        note_change(now, id)
        return nil
    end
    return move_count(now, id, from, to, 1)
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
    local left = move_task(now, id, system, task, state)
    tally(state == 'U' and 'unlocked' or 'failed:' .. reason)
    if (left or 0) == 0 then
        complete_if_done(now, id)
    end
end

-- ---- what is decided of a whole job ----------------------------------------------------------------------------

-- A job that is cancelled, or past its latest start, says so itself: one write, however many tasks it has. From then on
-- its word counts: a reader sees them as ended, and none is begun. They are written one by one by whoever meets one
-- (read_task(), a claim), and in bounded steps by the call that decided and those behind it, in the end by reap.

-- What a cancelled job ends: what waits, and what is held before its intent.
local REVOCABLE = { Q = true, C = true, J = true }

-- For the verbs that write. A task of a cancelled job is ended here, if nobody has done that yet.
local function read_task(id, system)
    local task = unpack_task(call('HGET', key('job', id, 'tasks'), system))
    if task and REVOCABLE[task.state] and call('HGET', key('job', id), 'cancelled') == '1' then
        local time = call('TIME')
        end_task(time[1] * 1000000 + time[2], id, system, task, 'X', 'cancelled', task.step)
    end
    return task
end

-- The systems of some positions of the request; '!' and nothing for refused ones. An older library kept no `names`.
local function systems_at(id, first, last)
    local fields, systems = {}, {}
    for position = first, last do
        fields[#fields + 1] = text(position)
    end
    for i, name in ipairs(read_many(key('job', id, 'names'), fields)) do
        systems[i] = name and name:match('^([^|]*)') or ''
    end
    return systems
end

local function count_positions(id, names)
    names = number(names) > 0 and number(names) or call('HLEN', key('job', id, 'names'))
    return math.min(names, NAMES_MOST)
end

-- How a packed task ends by the word of its job; nil: not by that.
local function end_by_word(packed, overdue, cancelled)
    local state = packed and packed:sub(1, 1)
    if state == 'Q' and overdue then
        return 'F', 'timeout'
    elseif REVOCABLE[state] and cancelled then
        return 'X', 'cancelled'
    end
    return nil
end

-- Ends the tasks of positions `first` to `last` by the word of their job.
local function end_positions(now, id, first, last, overdue, cancelled)
    local systems, changed, seen = systems_at(id, first, last), {}, {}
    local count, reasons = { waiting = 0, running = 0 }, {}
    for i, packed in ipairs(read_many(key('job', id, 'tasks'), systems)) do
        local state, reason = end_by_word(packed, overdue, cancelled)
        local middle = state and packed:match('^%u(|%d*|%d*|[^|]*|[^|]*|%d*|)%d*|[^|]*$')
        if middle and not seen[systems[i]] then
            seen[systems[i]] = true
            local standing = STANDING[packed:sub(1, 1)]
            count[standing] = count[standing] + 1
            reasons[reason] = (reasons[reason] or 0) + 1
            changed[#changed + 1] = systems[i]
            changed[#changed + 1] = state .. middle .. text(now) .. '|' .. reason
        end
    end
    if #changed > 0 then
        write_many('HSET', key('job', id, 'tasks'), changed)
        for standing, n in pairs(count) do
            if n > 0 then
                move_count(now, id, standing, 'failed', n)
            end
        end
        for reason, n in pairs(reasons) do
            tally('failed:' .. reason, n)
        end
    end
end

-- The lines of a job, in the hash of its names: l:0, l:1, ...; a group can stand there twice.
local function note_lines(id, groups)
    if #groups == 0 or not call('HGET', key('job', id), 'names') then
        return
    end
    local after, fields = call('HINCRBY', key('job', id), 'lines', #groups), {}
    for i, group in ipairs(groups) do
        fields[2 * i - 1] = 'l:' .. text(after - #groups + i - 1)
        fields[2 * i] = group
    end
    write_many('HSET', key('job', id, 'names'), fields)
end

-- Removes lines of a job, so that cancelled jobs cannot pile up in queues that no worker serves.
local function drop_lines(id, owner, first, last)
    local fields, queues, lines = {}, {}, {}
    for line = first, last do
        fields[#fields + 1] = 'l:' .. text(line)
    end
    for _, group in ipairs(read_many(key('job', id, 'names'), fields)) do
        if group then
            lines[#lines + 1] = id .. ':' .. group
            queues[#queues + 1] = key('queue', id, group)
        end
    end
    if #lines > 0 then
        call('UNLINK', unpack(queues))
        call('ZREM', key('turns', owner), unpack(lines))
    end
    if call('EXISTS', key('turns', owner)) == 0 then
        call('ZREM', ROUND_ROBIN, owner)
    end
end

-- A hash of tasks that no library has written is worth nothing, and is not read.
local function drop_forged(id)
    if call('HLEN', key('job', id, 'tasks')) > NAMES_MOST then
        call('UNLINK', key('job', id, 'tasks'))
        call('HSET', key('job', id), 'waiting', '0', 'running', '0')
    end
end

local LOOKED_AT = 20 -- what looking at a job counts, in values

-- One step of at most `most` values towards the end of a job: first its lines, then its tasks. How many were looked at,
-- and whether all has been.
local function sweep_job(now, id, most)
    local state, cancelled, start_by, owner, names, lines, dropped, swept = unpack(call('HMGET', key('job', id), 'state',
        'cancelled', 'start_by', 'owner', 'names', 'lines', 'dropped', 'swept'))
    local overdue = number(start_by) < now
    if not state or has_ended(state) or not overdue and cancelled ~= '1' then
        call('ZREM', key('deadlines'), id)
        return LOOKED_AT, true
    end
    lines, dropped, swept = number(lines), number(dropped), number(swept)
    local last_line = math.min(lines, dropped + most)
    drop_lines(id, owner or '', dropped, last_line - 1)
    local looked = math.max(last_line - dropped, 0)
    local total, after = count_positions(id, names), swept
    if last_line >= lines then
        drop_forged(id)
        after = math.min(total, swept + most - looked)
        end_positions(now, id, swept, after - 1, overdue, cancelled == '1')
        looked = looked + math.max(after - swept, 0)
    end
    local done = last_line >= lines and after >= total
    call('HSET', key('job', id), 'dropped', text(math.max(last_line, dropped)), 'swept', text(done and 0 or after))
    if done then
        call('ZREM', key('deadlines'), id)
    end
    complete_if_done(now, id)
    return looked + LOOKED_AT, done
end

-- Steps of at most so many values, of the jobs whose latest start has passed (Friday's job must not boot PCs on Monday),
-- and of cancelled ones. Whether there is more to do, and how many jobs it was.
local function sweep_jobs(now, most)
    local jobs = 0
    while true do
        local due = call('ZRANGEBYSCORE', key('deadlines'), '-inf', text(now), 'LIMIT', 0, 1)[1]
        if not due or most <= LOOKED_AT then
            return due ~= nil, jobs
        end
        most = most - sweep_job(now, due, most)
        jobs = jobs + 1
    end
end

local function start_job(now, id)
    if call('HGET', key('job', id), 'state') == NEW then
        call('HSET', key('job', id), 'state', RUNNING, 'started', text(now))
    end
end
