#!lua name=amtunlock
-- SPDX-License-Identifier: Apache-2.0
--[[ The state of jobs, and every verb that changes or reads it; each verb is atomic.

The library is this file (what all verbs use), scope.lua, web.lua, inventory.lua, worker.lua and verbs.lua, joined by
library.S. A verb is called with one key, its own; its arguments begin with the schema number of the calling program.
Its answer is an array that begins with one word: ok, already, refused, none, quota, conflict, late or outdated.

The keys, all in one hash slot. SYSTEM is the FQDN of a system's inventory line; OWNER is the SHA-256 of a caller's
name. Names of keys never change, so that data of an older schema is read on; some are older than the word for what
they hold, which stands in brackets.

    {amtu}:inventory                HASH  the live one: generation, digest, written, systems, published, by,
                                          host; silent: since when nobody was heard who serves it|last asked
    {amtu}:inventory:workers        ZSET  those that serve the live one, by when they first found it to be theirs
    {amtu}:inventory:GENERATION     HASH  s:SYSTEM -> group|method; n:NAME -> SYSTEM
    {amtu}:job:ID                   HASH  state, caller, owner, times, counts, retention, ...
    {amtu}:job:ID:tasks             HASH  SYSTEM -> a packed task
    {amtu}:job:ID:names             HASH  position in the request -> SYSTEM|the caller's spelling, if that differs;
                                          !|NAME if refused; r:PART -> those of 1,000 positions, "position length name"
    {amtu}:jobs, {amtu}:jobs:OWNER  ZSET  unfinished jobs; a caller's jobs; both by time of submission
    {amtu}:caller:OWNER             HASH  unfinished jobs, waiting systems; jobs, names and bytes of refused names that
                                          are kept: for the limits
    {amtu}:callers                  ZSET  owners by their latest submission
    {amtu}:totals                   HASH  of all callers: waiting, refused (bytes of refused names), unscoped (those of
                                          callers who may unlock nothing), items (of enumerations); scarce: when a
                                          worker last found that memory is short
    {amtu}:kept                     ZSET  what is kept of ended jobs, and enumerations, by their end: charge_of()
    {amtu}:queue:ID:GROUP           LIST  a line: systems of one job and group that wait. A task's state decides; an
                                          entry whose task is not in state Q is skipped
    {amtu}:turns:OWNER              ZSET  a caller's lines (ID:GROUP) by the cost of their turns so far
    {amtu}:ring                     ZSET  [round robin] owners that have a line, by the cost of their turns so far
    {amtu}:ramp                     HASH  [rate limits] claim:GROUP, power:GROUP -> next time|when that was taken
    {amtu}:breaker:SYSTEM           HASH  failures in a row, reason of the last, until: left alone until then
    {amtu}:retry                    ZSET  ID|SYSTEM by the time before which it may not be claimed
    {amtu}:looks                    LIST  [verify queue] ID|SYSTEM of tasks in state L
    {amtu}:deadlines                ZSET  jobs with waiting tasks, by their latest start
    {amtu}:system:SYSTEM            HASH  the holder, which unlocks it now: job, fence, worker, intent, device; since: of the
                                          first intent; marks: what may have been done since, in the order that it was
    {amtu}:system:SYSTEM:waiters    ZSET  jobs whose tasks joined the holder, by when they did
    {amtu}:device:UUID/KEY          STRING  the system whose unlock really reached this device, which showed that key in
                                          TLS; {amtu}:device:UUID is the same without TLS, and of the latest with it
    {amtu}:leases                   ZSET  systems by the end of their lease
    {amtu}:fence                    STRING  the last fence given
    {amtu}:cool:SYSTEM              STRING  [cooldown] no new unlock until it expires
    {amtu}:message:OWNER:MESSAGE    STRING  the job of a message id and a set of names: two digests, UUID/NAMES
    {amtu}:message:OWNER:UUID       STRING  the latest job of that message id, whatever its names
    {amtu}:context:ID               HASH  an enumeration in progress; {amtu}:contexts:OWNER, ZSET by expiry
    {amtu}:scopes                   HASH  an httpd -> when it read its configuration, digests of its AMTUnlockScope
    {amtu}:denied                   LIST  names that callers asked for beyond their scope, for the record of a worker
    {amtu}:worker:ID                STRING  heartbeat; {amtu}:workers, ZSET by the last one
    {amtu}:worker:seal:RECORD       STRING  head of a worker's audit record, for a year; no verb reads it
    {amtu}:bell                     LIST  [wake-ups] each entry wakes a worker
    {amtu}:counters                 HASH  totals
    {amtu}:verb:NAME                nothing: the key that a function is called with, so that an ACL can name it

A task is one system of one job:

    Q queued -> C claimed -> I intent -> P powered -> B booting -> U unlocked | F failed      X cancelled
    J joined: another job's task unlocks this system now, and its result will be this task's too
    L to be taken over -> K taken over: an earlier worker had an intent. The marks say what it may have done: power, the
                         power request; typed, a passphrase or its seal. None: K -> I begins anew. Only power: K -> I
                         goes on from there. With typed, or where no marks are known: read and report, never act

{amtu}:system:SYSTEM says which task holds a system, and so its lease; only workers may write it. Web verbs therefore
never free a system: cancelling a claimed task ends the task at once, and the system is freed when the task's worker
renews or releases it, or is found dead.

Numbers of microseconds are doubles here (exact until the year 2255). text() makes text of them, never Lua's own
conversion, which keeps 14 digits; fences are only compared as text. ]]

local SCHEMA = '6' -- raise with every change to the library; JOBS_SCHEMA in library_priv.h follows
local SLICE = 1000 -- values a call; unpack() fails beyond 8,000
local MOST_WAKE_UPS = 64
local COOLDOWN_MS = 60000
local POSITIONS_A_PART = 1000
local RETENTION_MOST_MS = 31 * 86400000
local NAMES_MOST, LINES_MOST = 100000, 20000 -- of a request (AMTUnlockMaxSystems); of a caller that are looked at
local ID_MOST, CALLER_MOST = 64, 1024 -- bytes of a job's id, a peer or a mechanism; of a caller's name
local STAGED_S = 600 -- how long an inventory stays that is being published
local RETIRED_S = 60 -- how long the previous inventory stays
local REAPED_A_CALL = 200
local CLAIMED_A_CALL = 200

-- Keys whose spelling is older than their word.
local VERIFY_QUEUE, ROUND_ROBIN, RATE_LIMITS, WAKE_UPS = '{amtu}:looks', '{amtu}:ring', '{amtu}:ramp', '{amtu}:bell'

local TOTALS, KEPT = '{amtu}:totals', '{amtu}:kept'

local STANDING = {
    Q = 'waiting', C = 'running', I = 'running', P = 'running', B = 'running', J = 'running', L = 'running',
    K = 'running', U = 'unlocked', F = 'failed', X = 'failed',
}
local INTENDED = { I = true, P = true, B = true, K = true } -- held, and the PC may have been powered
local NEW, RUNNING, COMPLETED, TERMINATED = '2', '4', '7', '8'

-- What httpd's user may write can have any type and any text. A worker's verb must not stop at it: a key that holds
-- something else than it should is worth nothing, and is removed; a count that is no number, or one at the end of its
-- range, begins again. A verb that may not write there fails with the error of the first try.
local function mend(refused, ...)
    local command, at, field = ...
    if refused.err:find('WRONGTYPE', 1, true) then
        local removed = redis.pcall('UNLINK', at)
        if type(removed) == 'table' then
            error(refused.err, 0)
        end
    elseif command == 'HINCRBY' and (refused.err:find('integer', 1, true) or refused.err:find('overflow', 1, true)) then
        redis.call('HSET', at, field, '0')
    else
        error(refused.err, 0)
    end
    return redis.call(...)
end

local function call(...) -- redis.call does not exist yet while the library loads
    local answer = redis.pcall(...)
    if type(answer) == 'table' and answer.err then
        return mend(answer, ...)
    end
    return answer
end

local function key(...)
    return '{amtu}:' .. table.concat({ ... }, ':')
end

local function text(number)
    return string.format('%.0f', number)
end

-- 0 if there is no number: fields of a job are written by httpd's user, and so are not trusted to be numbers.
local MOST = 1e18 -- fits the integers of Redis
local function number(value)
    local n = tonumber(value or 0) or 0
    return n > -MOST and n < MOST and n or 0
end

-- ---- many values in few calls ----------------------------------------------------------------------------------

local function write_many(command, at, values)
    for first = 1, #values, SLICE do
        call(command, at, unpack(values, first, math.min(first + SLICE - 1, #values)))
    end
end

-- Values of `fields` in the hash, in their order; false where there is none.
local function read_many(hash, fields)
    local values = {}
    for first = 1, #fields, SLICE do
        local last = math.min(first + SLICE - 1, #fields)
        for i, value in ipairs(call('HMGET', hash, unpack(fields, first, last))) do
            values[first + i - 1] = value
        end
    end
    return values
end

local function tally(counter, n)
    call('HINCRBY', key('counters'), counter, n or 1)
end

local function wake_workers()
    if call('LLEN', WAKE_UPS) < MOST_WAKE_UPS then
        call('LPUSH', WAKE_UPS, '1')
    end
end

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

local function move_task(now, id, system, task, state)
    local from = STANDING[task.state]
    task.state, task.time = state, text(now)
    call('HSET', key('job', id, 'tasks'), system, pack_task(task))
    call('HSET', key('job', id), 'changed', text(now))
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
    call('HSET', key('job', id), 'state', cancelled == '1' and TERMINATED or COMPLETED, 'completed', text(now),
        'changed', text(now))
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
        call('HSET', key('job', id), 'changed', text(now))
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

-- ---- queues ----------------------------------------------------------------------------------------------------

-- The waiting systems of one job and one group are a line, so that a group's rate limit delays no other group. Turns
-- go round robin between callers, and between the lines of one caller. A turn costs more the more systems wait, so
-- that 20 systems do not wait behind 10,000 of the same or another caller. A score is the cost of a member's turns so
-- far; the lowest is next.

-- A new member begins right behind the next one: joining again and again keeps no other waiting.
local function join_turns(at, member)
    local least = call('ZRANGE', at, 0, 0, 'WITHSCORES')[2]
    call('ZADD', at, 'NX', text(number(least) + 1), member)
end

local function join_queue(owner, line)
    join_turns(key('turns', owner), line)
    join_turns(ROUND_ROBIN, owner)
end

-- 2 for up to 9 waiting systems, 4 for up to 99, ...: always more than joining costs.
local function turn_cost(waiting)
    return 2 + 2 * math.floor(math.log10(math.max(waiting, 1)))
end

local function group_of(system)
    local generation = call('HGET', key('inventory'), 'generation') or ''
    local line = call('HGET', key('inventory', generation), 's:' .. system)
    return line and line:match('^([^|]*)') or ''
end

-- Puts a system at the head of its line.
local function put_back(owner, id, system)
    local line = id .. ':' .. group_of(system)
    call('LPUSH', key('queue', line), system)
    join_queue(owner, line)
end

-- The job may be past its latest start; claim and reap check that.
local function requeue(now, id, system, task)
    local owner, start_by = unpack(call('HMGET', key('job', id), 'owner', 'start_by'))
    move_task(now, id, system, task, 'Q')
    put_back(owner or '', id, system)
    call('ZADD', key('deadlines'), text(number(start_by)), id)
    wake_workers()
end

-- ---- the breaker -----------------------------------------------------------------------------------------------

-- A PC that fails for the same reason several times in a row is left alone for a minute: another try would only take
-- time, and firmware locks an account that is refused too often. Tasks that are claimed meanwhile end with the reason
-- of the last failure, at step left-alone. The first task after that decides how it goes on.
local BREAKING_FAILURES = { ['unreachable'] = 3, ['tls-untrusted'] = 3, ['auth-failed'] = 2, ['amt-fault'] = 3,
    ['timeout'] = 3 }
local LEFT_ALONE = 60 * 1000000
local FAILURES_KEPT_S = 1800
local STEP_LEFT_ALONE = 'left-alone' -- JOBS_STEP_LEFT_ALONE of reason.h

local function note_result(now, system, state, reason)
    local breaker = key('breaker', system)
    if state == 'U' then
        call('DEL', breaker)
    end
    local most = state == 'F' and BREAKING_FAILURES[reason]
    if most then
        if call('HGET', breaker, 'reason') ~= reason then
            call('DEL', breaker) -- another reason: something changed at the PC
        end
        local failures = call('HINCRBY', breaker, 'failures', 1)
        call('HSET', breaker, 'reason', reason, 'until', failures >= most and text(now + LEFT_ALONE) or '0')
        call('EXPIRE', breaker, FAILURES_KEPT_S)
    end
end

-- The reason of the last failure if the system is left alone now, else nil.
local function breaker_reason(now, system)
    local till, reason = unpack(call('HMGET', key('breaker', system), 'until', 'reason'))
    return number(till) > now and number(till) <= now + LEFT_ALONE and reason or nil
end

-- ---- the holder of a system ------------------------------------------------------------------------------------

local MARKS = { power = true, typed = true }
local UNKNOWN = 'unknown' -- what was done is not known

-- The marks of a system's holder: words. A library that knew none wrote none.
local function marks_of(system)
    return call('HGET', key('system', system), 'marks') or UNKNOWN
end

-- True: there was one among these that it did not have. What is unknown stays so.
local function add_marks(system, marks)
    local known = marks_of(system)
    local more = marks == UNKNOWN and UNKNOWN or known
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

local function free_device(system)
    local device = call('HGET', key('system', system), 'device') or ''
    for _, each in ipairs({ device, uuid_of(device) }) do
        if each ~= '' and call('GET', key('device', each)) == system then
            call('DEL', key('device', each))
        end
    end
end

-- Frees the system. Returns the jobs whose tasks had joined, in the order they did.
local function free_system(system)
    free_device(system)
    local waiters = call('ZRANGE', key('system', system, 'waiters'), 0, -1)
    call('DEL', key('system', system), key('system', system, 'waiters'))
    call('ZREM', key('leases'), system)
    return waiters
end

-- Tasks that joined wait again: the first that is claimed holds the system, and the others join it. (If only the first
-- went back to its queue, the others would hang when it is cancelled before its claim.)
local function requeue_waiters(now, system, waiters)
    for _, waiter in ipairs(waiters) do
        local task = read_task(waiter, system)
        if task and task.state == 'J' then
            requeue(now, waiter, system, task)
        end
    end
end

-- Ends an unlock: the task, and all tasks that joined it.
local function finish_system(now, id, system, task, state, reason, step, blameless)
    local waiters = free_system(system)
    if not blameless then
        note_result(now, system, state, reason)
    end
    end_task(now, id, system, task, state, reason, step)
    for _, waiter in ipairs(waiters) do
        local joined = read_task(waiter, system)
        if joined and joined.state == 'J' then
            end_task(now, waiter, system, joined, state, reason, step)
        end
    end
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
    local waiters = free_system(system)
    requeue_waiters(now, system, waiters)
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

-- ---- arguments -------------------------------------------------------------------------------------------------

local function reader(args)
    local at = 1 -- args[1] is the schema
    local read = {}
    function read.take(n)
        local first = at + 1
        at = at + n
        if at > #args then
            error('too few arguments')
        end
        return unpack(args, first, at)
    end
    function read.number()
        return tonumber((read.take(1))) or error('not a number: ' .. args[at])
    end
    -- A limit of what is under way, and one of what is kept with it: "N/M", or "N" without the second.
    function read.limits()
        local under_way, kept = read.take(1):match('^(%d+)/?(%d*)$')
        return tonumber(under_way) or error('not a limit: ' .. args[at]), tonumber(kept) or 0
    end
    function read.more()
        return at < #args
    end
    return read
end

-- A call is refused after its sender gave it up: a Redis that was frozen would run it when it thaws.
local function is_late(now, not_after)
    return now > not_after
end

local verbs = {}
