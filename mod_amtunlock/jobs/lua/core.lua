#!lua name=amtunlock
-- SPDX-License-Identifier: Apache-2.0
--[[ Job state, whole: every verb that changes or reads it, each atomic.

The library is this file (what all verbs stand on), web.lua, worker.lua and verbs.lua, joined by library.S.
A verb's arguments begin with the schema number of the program that calls; its answer is an array that begins with
one word: ok, already, refused, none, quota, conflict, late or outdated.

The keys, all in one slot. SID is the FQDN of a system's inventory line; OWNER the SHA-256 of a caller's name.

    {amtu}:inventory                HASH  generation, digest, written, systems, published, by: the live one
    {amtu}:inventory:GENERATION     HASH  s:SID -> group|method; n:NAME -> SID
    {amtu}:job:ID                   HASH  state, caller, owner, times, counts, retention, ...
    {amtu}:job:ID:tasks             HASH  SID, or !NAME for what was refused -> a packed task
    {amtu}:job:ID:names             HASH  position in the request -> SID or !NAME | the caller's spelling
    {amtu}:jobs, {amtu}:jobs:OWNER  ZSET  unfinished jobs; a caller's jobs; both by time of submission
    {amtu}:caller:OWNER             HASH  unfinished jobs and waiting systems, for the limits
    {amtu}:callers                  ZSET  owners by their latest submission
    {amtu}:queue:ID:GROUP           LIST  SIDs: hints; what counts is the task's state
    {amtu}:turns:OWNER              ZSET  ID:GROUP of a caller's queues, by what their turns have cost
    {amtu}:ring                     ZSET  owners with a queue, by the same
    {amtu}:ramp                     HASH  claim:GROUP, power:GROUP -> when its next system may be|when that was taken
    {amtu}:breaker:SID              HASH  failures in a row, reason of the last, until: it is left alone
    {amtu}:retry                    ZSET  ID|SID that may not be claimed before that time
    {amtu}:looks                    LIST  ID|SID to be looked at
    {amtu}:deadlines                ZSET  jobs with waiting tasks, by their latest start
    {amtu}:system:SID               HASH  job, fence, worker, intent, device: who unlocks it now
    {amtu}:system:SID:waiters       ZSET  jobs that joined, by when they did
    {amtu}:device:UUID              STRING  the SID whose unlock really reached this device
    {amtu}:leases                   ZSET  SID by the end of its lease
    {amtu}:fence                    STRING  the last fence given
    {amtu}:cool:SID                 STRING  no new unlock until it expires
    {amtu}:message:OWNER:MESSAGE    STRING  the job of a message id and a set of names: two digests, UUID/NAMES
    {amtu}:message:OWNER:UUID       STRING  the latest job of that message id, whatever its names
    {amtu}:context:ID               HASH  an enumeration in progress; {amtu}:contexts:OWNER, ZSET by expiry
    {amtu}:worker:ID                STRING  heartbeat; {amtu}:workers, ZSET by the last one
    {amtu}:bell                     LIST  wakes workers
    {amtu}:counters                 HASH  totals

A task is one system of one job:

    Q queued -> C claimed -> I intent -> P powered -> B booting -> U unlocked | F failed      X cancelled
    J joined: another job's task unlocks this system now, and its result will be this one's too
    L look queued -> K looking: a predecessor may have powered the PC, so look and report, never act

Who owns a system (and so holds its lease) is said by {amtu}:system:<sid>, which only workers may write. Web verbs
therefore never free a system: cancelling a claimed task ends the task at once, and the system is freed when its
worker renews or releases, or is found dead.

Numbers of microseconds are doubles here (exact until the year 2255). They become text by text(), never by Lua's
own conversion, which keeps 14 digits; fences are only ever compared as text. ]]

local SCHEMA = '3' -- raise with every change to the library; JOBS_SCHEMA in redis.h follows
local SLICE = 1000 -- values a call; unpack() fails beyond 8,000
local BELLS = 64
local COOL_MS = 60000
local STAGED_S = 600  -- an inventory that is being published and never switched to
local RETIRED_S = 60  -- the inventory before the live one
local REAPED_A_CALL = 200
local CLAIMED_A_CALL = 200

local STANDING = {
    Q = 'waiting', C = 'running', I = 'running', P = 'running', B = 'running', J = 'running', L = 'running',
    K = 'running', U = 'unlocked', F = 'failed', X = 'failed',
}
local INTENDED = { I = true, P = true, B = true, K = true } -- held, and the PC may have been touched
local NEW, RUNNING, COMPLETED, TERMINATED = '2', '4', '7', '8'

local function call(...) -- redis.call does not exist yet while the library loads
    return redis.call(...)
end

local function key(...)
    return '{amtu}:' .. table.concat({ ... }, ':')
end

local function text(number)
    return string.format('%.0f', number)
end

-- What a hash may hold or, since httpd's user may write jobs, may not.
local function number(value)
    return tonumber(value or 0) or 0
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

local function ring_bell()
    if call('LLEN', key('bell')) < BELLS then
        call('LPUSH', key('bell'), '1')
    end
end

-- ---- a task ----------------------------------------------------------------------------------------------------

local TASK = '^(%u)|(%d*)|(%d*)|([^|]*)|([^|]*)|(%d*)|(%d*)|([^|]*)$'

-- nil where there is no task, or what is there is none.
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

local function clean(step)
    return (step:gsub('[|%c]', ' '))
end

local function read_task(id, sid)
    return unpack_task(call('HGET', key('job', id, 'tasks'), sid))
end

-- n tasks of a job go from one standing to another. A caller's waiting tasks are counted for its limit.
local function shift(id, from, to, n)
    if from == to or n == 0 then
        return
    end
    call('HINCRBY', key('job', id), from, -n)
    call('HINCRBY', key('job', id), to, n)
    if from == 'waiting' or to == 'waiting' then
        local owner = call('HGET', key('job', id), 'owner') or ''
        call('HINCRBY', key('caller', owner), 'waiting', from == 'waiting' and -n or n)
    end
end

local function move(now, id, sid, task, state)
    local from = STANDING[task.state]
    task.state, task.time = state, text(now)
    call('HSET', key('job', id, 'tasks'), sid, pack_task(task))
    call('HSET', key('job', id), 'changed', text(now))
    shift(id, from, STANDING[state], 1)
end

-- ---- a job -----------------------------------------------------------------------------------------------------

local function ended(state)
    return state == COMPLETED or state == TERMINATED
end

-- The first half of a request's message, which is all that another request of the same message id has in common.
local function uuid_of(message)
    return string.match(message, '^[^/]*')
end

-- The one place where a job ends, and where its keys get their TTL.
local function settle(now, id)
    local state, waiting, running, cancelled, retention, owner, message = unpack(call('HMGET', key('job', id),
        'state', 'waiting', 'running', 'cancelled', 'retention', 'owner', 'message'))
    if not state or ended(state) or waiting ~= '0' or running ~= '0' then
        return
    end
    call('HSET', key('job', id), 'state', cancelled == '1' and TERMINATED or COMPLETED, 'completed', text(now),
        'changed', text(now))
    call('ZREM', key('jobs'), id)
    call('ZREM', key('deadlines'), id)
    owner = owner or ''
    local kept = { key('job', id), key('job', id, 'tasks'), key('job', id, 'names'),
        key('message', owner, message or ''), key('message', owner, uuid_of(message or '')) }
    if call('HINCRBY', key('caller', owner), 'unfinished', -1) <= 0 then
        call('DEL', key('caller', owner))
        kept[#kept + 1] = key('jobs', owner)
    end
    for _, each in ipairs(kept) do
        call('PEXPIRE', each, text(math.ceil(number(retention) / 1000)))
    end
end

local function end_task(now, id, sid, task, state, reason, step)
    task.reason, task.step = reason, step
    move(now, id, sid, task, state)
    tally(state == 'U' and 'unlocked' or 'failed:' .. reason)
    settle(now, id)
end

-- What waits of a job leaves its caller's turns, so that queues nobody serves cannot grow by cancelled jobs.
local function drop_queued(id)
    local owner = call('HGET', key('job', id), 'owner') or ''
    local prefix = id .. ':'
    for _, line in ipairs(call('ZRANGE', key('turns', owner), 0, -1)) do
        if line:sub(1, #prefix) == prefix then
            call('UNLINK', key('queue', line))
            call('ZREM', key('turns', owner), line)
        end
    end
    if call('EXISTS', key('turns', owner)) == 0 then
        call('ZREM', key('ring'), owner)
    end
end

-- Ends every task of the job that is in one of `states`.
local function end_tasks(now, id, states, state, reason)
    local changed, count = {}, { waiting = 0, running = 0 }
    local all = call('HGETALL', key('job', id, 'tasks'))
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
        shift(id, 'waiting', STANDING[state], count.waiting)
        shift(id, 'running', STANDING[state], count.running)
        tally('failed:' .. reason, #changed / 2)
    end
    drop_queued(id)
    settle(now, id)
end

-- Friday's job must not boot PCs on Monday: what has not been claimed in time ends untouched.
local function end_overdue(now, id)
    local state, start_by = unpack(call('HMGET', key('job', id), 'state', 'start_by'))
    if state and not ended(state) and number(start_by) < now then
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

-- The job as a reader sees it: overdue tasks have failed, also when nobody has written that yet (a read may not).
local function view(now, id)
    local fields = call('HGETALL', key('job', id))
    if #fields == 0 then
        return nil
    end
    local job = { id = id }
    for i = 1, #fields, 2 do
        job[fields[i]] = fields[i + 1]
    end
    job.overdue = not ended(job.state) and number(job.start_by) < now and job.waiting ~= '0'
    if job.overdue then
        job.failed, job.waiting = text(number(job.failed) + number(job.waiting)), '0'
        if job.running == '0' then
            job.state, job.completed, job.changed = COMPLETED, job.start_by, job.start_by
        end
    end
    return job
end

-- The job of that id, or the caller's latest where id is ''; nil if the caller may not see it.
local function find(now, owner, reads_all, id)
    if id ~= '' then
        local job = view(now, id)
        return job and (job.owner == owner or reads_all == '1') and job or nil
    end
    for first = 0, call('ZCARD', key('jobs', owner)) - 1, 16 do
        for _, each in ipairs(call('ZREVRANGE', key('jobs', owner), first, first + 15)) do
            local job = view(now, each)
            if job then
                return job
            end
        end
    end
    return nil
end

-- ---- queues ----------------------------------------------------------------------------------------------------

-- What waits of one job in one group is a line; a group whose ramp is closed holds up no other. Turns are fair
-- twice: between callers, and between the lines of one caller. A turn costs more the more is waiting, so that 20
-- systems do not wait behind 10,000, whoever asked for those; a score is what a member's turns have cost so far.

-- Comes in right behind who has the next turn: nobody keeps others waiting by coming again and again.
local function join_turns(at, member)
    local least = call('ZRANGE', at, 0, 0, 'WITHSCORES')[2]
    call('ZADD', at, 'NX', text(number(least) + 1), member)
end

local function join_queue(owner, line)
    join_turns(key('turns', owner), line)
    join_turns(key('ring'), owner)
end

-- 2 for up to 9 systems that wait, 4 for up to 99, ...: always more than joining costs.
local function cost_of_turn(waiting)
    return 2 + 2 * math.floor(math.log10(math.max(waiting, 1)))
end

local function group_of(sid)
    local generation = call('HGET', key('inventory'), 'generation') or ''
    local line = call('HGET', key('inventory', generation), 's:' .. sid)
    return line and line:match('^([^|]*)') or ''
end

-- To the head of its line.
local function put_back(owner, id, sid)
    local line = id .. ':' .. group_of(sid)
    call('LPUSH', key('queue', line), sid)
    join_queue(owner, line)
end

-- The job may be past its latest start: claim and reap see to that.
local function requeue(now, id, sid, task)
    local owner, start_by = unpack(call('HMGET', key('job', id), 'owner', 'start_by'))
    move(now, id, sid, task, 'Q')
    put_back(owner or '', id, sid)
    call('ZADD', key('deadlines'), text(number(start_by)), id)
    ring_bell()
end

-- Systems that wait, of all callers.
local function all_waiting()
    local waiting = 0
    for _, owner in ipairs(call('ZRANGE', key('callers'), 0, -1)) do
        waiting = waiting + number(call('HGET', key('caller', owner), 'waiting'))
    end
    return waiting
end

-- ---- the breaker -----------------------------------------------------------------------------------------------

-- A PC that failed so many times in a row by one and the same fault of its own is left alone for a while: it would
-- only cost time, and firmware locks an account that is refused too often. What waits for it meanwhile ends with the
-- reason of its last failure, at step left-alone. The one task that is let through after that decides how it goes on.
local FAULTS_OF_ITS_OWN = { ['unreachable'] = 3, ['tls-untrusted'] = 3, ['auth-failed'] = 2, ['amt-fault'] = 3,
    ['timeout'] = 3 }
local LEFT_ALONE = 60 * 1000000
local FAILURES_KEPT_S = 1800
local STEP_LEFT_ALONE = 'left-alone' -- JOBS_STEP_LEFT_ALONE of reason.h

local function note_end(now, sid, state, reason)
    local breaker = key('breaker', sid)
    if state == 'U' then
        call('DEL', breaker)
    end
    local most = state == 'F' and FAULTS_OF_ITS_OWN[reason]
    if most then
        if call('HGET', breaker, 'reason') ~= reason then
            call('DEL', breaker) -- something changed there
        end
        local failures = call('HINCRBY', breaker, 'failures', 1)
        call('HSET', breaker, 'reason', reason, 'until', failures >= most and text(now + LEFT_ALONE) or '0')
        call('EXPIRE', breaker, FAILURES_KEPT_S)
    end
end

-- The reason why nobody goes there now, or nil.
local function left_alone(now, sid)
    local till, reason = unpack(call('HMGET', key('breaker', sid), 'until', 'reason'))
    return number(till) > now and number(till) <= now + LEFT_ALONE and reason or nil
end

-- ---- who owns a system -----------------------------------------------------------------------------------------

-- The task, if this worker holds the system with this fence for this job; else nil.
local function held(id, sid, worker, fence)
    local owner = call('HMGET', key('system', sid), 'job', 'fence', 'worker')
    if owner[1] ~= id or owner[2] ~= fence or owner[3] ~= worker then
        return nil
    end
    return read_task(id, sid)
end

local function next_fence(now)
    local previous = number(call('GET', key('fence')))
    local fence = text(math.max(previous + 1, now))
    call('SET', key('fence'), fence)
    return fence
end

-- Nobody owns the system any more. Returns the jobs whose tasks had joined, in the order they did.
local function free(sid)
    local device = call('HGET', key('system', sid), 'device')
    if device and device ~= '' and call('GET', key('device', device)) == sid then
        call('DEL', key('device', device))
    end
    local waiters = call('ZRANGE', key('system', sid, 'waiters'), 0, -1)
    call('DEL', key('system', sid), key('system', sid, 'waiters'))
    call('ZREM', key('leases'), sid)
    return waiters
end

-- All who joined wait again; the first to be claimed owns the system, and the others join that one. (Were only the
-- first sent back, the others would hang when it is cancelled before its claim.)
local function requeue_waiters(now, sid, waiters)
    for _, waiter in ipairs(waiters) do
        local task = read_task(waiter, sid)
        if task and task.state == 'J' then
            requeue(now, waiter, sid, task)
        end
    end
end

-- The end of an unlock: the task's, and that of all who joined.
local function conclude(now, id, sid, task, state, reason, step)
    local waiters = free(sid)
    note_end(now, sid, state, reason)
    end_task(now, id, sid, task, state, reason, step)
    for _, waiter in ipairs(waiters) do
        local joined = read_task(waiter, sid)
        if joined and joined.state == 'J' then
            end_task(now, waiter, sid, joined, state, reason, step)
        end
    end
end

-- Its worker does not hold the system any more. What may have touched the PC is looked at next; never back to Q.
local function let_go(now, id, sid, task)
    if task and INTENDED[task.state] then
        move(now, id, sid, task, 'L')
        call('HSET', key('system', sid), 'worker', '')
        call('ZREM', key('leases'), sid)
        call('RPUSH', key('looks'), id .. '|' .. sid)
        ring_bell()
        return
    end
    local waiters = free(sid)
    requeue_waiters(now, sid, waiters)
    if task and task.state == 'C' then
        requeue(now, id, sid, task)
    end
end

-- A lease that nobody keeps. After an intent the silent worker may yet wake and have a request under way, so no
-- new unlock of this PC begins for a while; looking may.
local function lose(now, sid)
    local id = call('HGET', key('system', sid), 'job')
    local task = id and read_task(id, sid)
    if task and INTENDED[task.state] then
        call('SET', key('cool', sid), '1', 'PX', COOL_MS)
    end
    let_go(now, id, sid, task)
    tally('reaped')
end

-- ---- arguments -------------------------------------------------------------------------------------------------

local function reader(args)
    local at = 1 -- the schema is args[1]
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
    function read.more()
        return at < #args
    end
    return read
end

-- A request that its sender gave up on must not happen later: a frozen Redis runs it on thawing.
local function late(now, not_after)
    return now > not_after
end

local verbs = {}
