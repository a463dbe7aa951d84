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
-- SPDX-License-Identifier: Apache-2.0
-- What httpd asks for. Part of the library that core.lua begins.

-- ---- submit ----------------------------------------------------------------------------------------------------

-- Which systems these names are: the tasks, packed, and by group those that wait. Unknown and out of scope end
-- alike, under '!' and what the caller wrote.
local function resolve(now, names, groups)
    local generation = call('HGET', key('inventory'), 'generation')
    local inventory = key('inventory', generation or 'none')
    local fields, systems = {}, {}
    for i, name in ipairs(names) do
        fields[i] = 'n:' .. name.key
    end
    local sids = read_many(inventory, fields)
    for i = 1, #names do
        systems[i] = 's:' .. (sids[i] or '')
    end
    local lines = read_many(inventory, systems)
    local waits = pack_task(new_task(now, 'Q', ''))
    local refused = pack_task(new_task(now, 'F', 'not-available'))
    local tasks, packed, waiting, of_group, count = {}, {}, {}, {}, 0
    for i, name in ipairs(names) do
        local group = lines[i] and lines[i]:match('^([^|]*)')
        local known = group and (groups['*'] or groups[group])
        name.task = known and sids[i] or '!' .. name.key
        if not tasks[name.task] then
            tasks[name.task] = true
            packed[#packed + 1] = name.task
            packed[#packed + 1] = known and waits or refused
            if known then
                if not of_group[group] then
                    of_group[group] = { group = group }
                    waiting[#waiting + 1] = of_group[group]
                end
                table.insert(of_group[group], sids[i])
                count = count + 1
            end
        end
    end
    return packed, waiting, count
end

local function read_submission(read)
    local s = {}
    s.id, s.caller, s.owner, s.peer, s.mechanism, s.message = read.take(6)
    s.not_after, s.retention, s.start_within = read.number(), read.number(), read.number()
    s.max_jobs, s.max_systems = read.number(), read.number()
    s.groups, s.names = {}, {}
    for _ = 1, read.number() do
        s.groups[read.take(1)] = true
    end
    while read.more() do
        local spelling, name = read.take(2)
        s.names[#s.names + 1] = { spelling = spelling, key = name }
    end
    return s
end

-- Whether the caller's message id came with other systems before, in a job that is still there.
local function used_before(s)
    local other = s.message ~= '' and call('GET', key('message', s.owner, uuid_of(s.message)))
    return other and call('EXISTS', key('job', other)) == 1
end

local function store_job(now, s, packed, waiting)
    local total = #packed / 2
    call('HSET', key('job', s.id), 'state', NEW, 'caller', s.caller, 'owner', s.owner, 'peer', s.peer, 'mechanism',
        s.mechanism, 'submitted', text(now), 'started', '0', 'changed', text(now), 'completed', '0', 'retention',
        text(s.retention), 'start_by', text(now + s.start_within), 'total', total, 'waiting', waiting, 'running', 0,
        'unlocked', 0, 'failed', total - waiting, 'cancelled', '0', 'message', s.message)
    write_many('HSET', key('job', s.id, 'tasks'), packed)
    local names = {}
    for i, name in ipairs(s.names) do
        names[#names + 1] = text(i - 1)
        names[#names + 1] = name.task .. '|' .. name.spelling
    end
    write_many('HSET', key('job', s.id, 'names'), names)
    call('ZADD', key('jobs'), text(now), s.id)
    call('ZADD', key('jobs', s.owner), text(now), s.id)
    call('PERSIST', key('jobs', s.owner))
    call('ZADD', key('callers'), text(now), s.owner)
    call('HINCRBY', key('caller', s.owner), 'unfinished', 1)
    call('HINCRBY', key('caller', s.owner), 'waiting', waiting)
    if s.message ~= '' then
        call('SET', key('message', s.owner, s.message), s.id)
        call('SET', key('message', s.owner, uuid_of(s.message)), s.id)
    end
end

-- The oldest entries of a caller's list whose jobs have expired.
local function prune(owner)
    for _, id in ipairs(call('ZRANGE', key('jobs', owner), 0, 15)) do
        if call('EXISTS', key('job', id)) == 0 then
            call('ZREM', key('jobs', owner), id)
        end
    end
end

-- Of all callers together, so that Redis' memory has a bound whoever asks.
local MOST_WAITING = 200000

local function over_quota(s, waiting)
    local count = call('HMGET', key('caller', s.owner), 'unfinished', 'waiting')
    if waiting == 0 then
        return nil
    elseif s.max_jobs > 0 and number(count[1]) + 1 > s.max_jobs then
        return 'jobs'
    elseif s.max_systems > 0 and number(count[2]) + waiting > s.max_systems then
        return 'systems'
    elseif all_waiting() + waiting > MOST_WAITING then
        return 'everybody'
    end
    return nil
end

function verbs.submit(now, read)
    local s = read_submission(read)
    if late(now, s.not_after) then
        return { 'late' }
    end
    local owner = call('HGET', key('job', s.id), 'owner')
    if owner then -- the program repeats itself: its first try got through, its answer did not
        return owner == s.owner and { 'ok', s.id, '0' } or { 'refused', 'this job id is taken' }
    end
    local same = s.message ~= '' and call('GET', key('message', s.owner, s.message))
    if same and call('EXISTS', key('job', same)) == 1 then
        return { 'ok', same, '1' }
    end
    end_all_overdue(now, 2) -- keeps Redis from filling up when no worker lives
    local packed, waiting, count = resolve(now, s.names, s.groups)
    local limit = over_quota(s, count)
    if limit then
        return { 'quota', limit }
    end
    prune(s.owner)
    local kind = used_before(s) and '2' or '0'
    store_job(now, s, packed, count)
    tally('jobs')
    local refused = #packed / 2 - count
    if refused > 0 then
        tally('refused', refused)
        tally('failed:not-available', refused)
    end
    if count == 0 then
        settle(now, s.id)
        return { 'ok', s.id, kind }
    end
    for _, sids in ipairs(waiting) do
        local line = s.id .. ':' .. sids.group
        write_many('RPUSH', key('queue', line), sids)
        join_queue(s.owner, line)
    end
    call('ZADD', key('deadlines'), text(now + s.start_within), s.id)
    ring_bell()
    return { 'ok', s.id, kind }
end

-- ---- reading, cancelling, forgetting ---------------------------------------------------------------------------

function verbs.read(now, read)
    local job = find(now, read.take(3))
    if not job then
        return { 'none' }
    end
    return { 'ok', job.id, job.state, job.caller, job.submitted, job.started, job.changed, job.completed, text(now),
        job.retention, job.total, job.unlocked, job.failed, job.running, job.waiting, job.cancelled }
end

-- Calls each(spelling, task) for the names of a window, in the order sent.
local function each_name(now, job, first, count, each)
    local fields, keys, spellings = {}, {}, {}
    local last = call('HLEN', key('job', job.id, 'names')) - 1
    if count >= 0 then
        last = math.min(last, first + count - 1)
    end
    for position = first, last do
        fields[#fields + 1] = text(position)
    end
    for i, name in ipairs(read_many(key('job', job.id, 'names'), fields)) do
        keys[i], spellings[i] = name:match('^([^|]*)|(.*)$')
    end
    for i, packed in ipairs(read_many(key('job', job.id, 'tasks'), keys)) do
        local task = unpack_task(packed) or new_task(now, 'F', 'internal')
        if job.overdue and task.state == 'Q' then
            task.state, task.reason = 'F', 'timeout'
        end
        each(spellings[i], task)
    end
end

function verbs.results(now, read)
    local job = find(now, read.take(3))
    if not job then
        return { 'none' }
    end
    local lists = { unlocked = {}, failed = {} }
    each_name(now, job, read.number(), read.number(), function(spelling, task)
        local list = lists[STANDING[task.state]]
        if list then
            list[#list + 1] = spelling
        end
    end)
    return { 'ok', lists.unlocked, lists.failed }
end

function verbs.errors(now, read)
    local job = find(now, read.take(3))
    if not job then
        return { 'none' }
    end
    local answer = { 'ok' }
    each_name(now, job, read.number(), read.number(), function(spelling, task)
        if STANDING[task.state] == 'failed' then
            answer[#answer + 1] = spelling
            answer[#answer + 1] = task.step
            answer[#answer + 1] = task.reason
        end
    end)
    return answer
end

function verbs.list(_, read)
    local owner, reads_all = read.take(2)
    local found = {}
    local owners = reads_all == '1' and call('ZRANGE', key('callers'), 0, -1) or { owner }
    for _, each in ipairs(owners) do
        local jobs = call('ZRANGE', key('jobs', each), 0, -1, 'WITHSCORES')
        for i = 1, #jobs, 2 do
            if call('EXISTS', key('job', jobs[i])) == 1 then
                found[#found + 1] = { id = jobs[i], submitted = tonumber(jobs[i + 1]) }
            end
        end
    end
    table.sort(found, function(a, b)
        return a.submitted > b.submitted or (a.submitted == b.submitted and a.id > b.id)
    end)
    local answer = { 'ok' }
    for _, job in ipairs(found) do
        answer[#answer + 1] = job.id
    end
    return answer
end

function verbs.cancel(now, read)
    local owner, id = read.take(2)
    if late(now, read.number()) then
        return { 'late' }
    end
    if call('HGET', key('job', id), 'owner') ~= owner then
        return { 'none' }
    end
    end_overdue(now, id)
    if ended(call('HGET', key('job', id), 'state')) then
        return { 'conflict', 'the job has ended' }
    end
    call('HSET', key('job', id), 'cancelled', '1', 'changed', text(now))
    end_tasks(now, id, { Q = true, C = true, J = true }, 'X', 'cancelled')
    return { 'ok' }
end

function verbs.forget(now, read)
    local owner, id = read.take(2)
    if call('HGET', key('job', id), 'owner') ~= owner then
        return { 'none' }
    end
    end_overdue(now, id)
    local state, message = unpack(call('HMGET', key('job', id), 'state', 'message'))
    if not ended(state) then
        return { 'conflict', 'the job has not ended' }
    end
    call('UNLINK', key('job', id), key('job', id, 'tasks'), key('job', id, 'names'), key('message', owner, message),
        key('message', owner, uuid_of(message)))
    call('ZREM', key('jobs', owner), id)
    return { 'ok' }
end

-- ---- enumerations in progress ----------------------------------------------------------------------------------

function verbs.context_open(now, read)
    local owner, id = read.take(2)
    local seconds, limit = read.number(), read.number()
    local fields = read.take(1)
    local index = key('contexts', owner)
    call('ZREMRANGEBYSCORE', index, '-inf', text(now))
    if call('EXISTS', key('context', id)) == 1 then
        return call('HGET', key('context', id), 'owner') == owner and { 'ok', id } or { 'refused', 'taken' }
    end
    if limit > 0 and call('ZCARD', index) >= limit then
        return { 'quota', 'contexts' }
    end
    local hash = { 'owner', owner, 'fields', fields, 'next', '0' }
    local items = 0
    while read.more() do
        hash[#hash + 1] = text(items)
        hash[#hash + 1] = read.take(1)
        items = items + 1
    end
    write_many('HSET', key('context', id), hash)
    call('HSET', key('context', id), 'items', items)
    call('EXPIRE', key('context', id), text(seconds))
    call('ZADD', index, text(now + seconds * 1000000), id)
    call('EXPIRE', index, text(seconds), 'GT')
    if call('TTL', index) < 0 then
        call('EXPIRE', index, text(seconds))
    end
    return { 'ok', id }
end

local function end_context(owner, id)
    call('UNLINK', key('context', id))
    call('ZREM', key('contexts', owner), id)
end

function verbs.context_pull(_, read)
    local owner, id = read.take(2)
    local count = read.number()
    local hash = key('context', id)
    local mine, fields, first, items = unpack(call('HMGET', hash, 'owner', 'fields', 'next', 'items'))
    if mine ~= owner then
        return { 'none' }
    end
    first, items = number(first), number(items)
    local after = math.min(items, first + count)
    local wanted = {}
    for position = first, after - 1 do
        wanted[#wanted + 1] = text(position)
    end
    local pulled = read_many(hash, wanted)
    if after >= items then
        end_context(owner, id)
    else
        call('HSET', hash, 'next', text(after))
    end
    return { 'ok', fields, after < items and '1' or '0', pulled }
end

function verbs.context_release(_, read)
    local owner, id = read.take(2)
    if call('HGET', key('context', id), 'owner') ~= owner then
        return { 'none' }
    end
    end_context(owner, id)
    return { 'ok' }
end

-- ---- overview --------------------------------------------------------------------------------------------------

function verbs.overview(now)
    local workers = {}
    -- A heartbeat that lies ahead is of a clock that was set back, and so outlives its worker.
    for _, worker in ipairs(call('ZRANGEBYSCORE', key('workers'), '-inf', text(now))) do
        local about = call('GET', key('worker', worker))
        if about then
            workers[#workers + 1] = worker .. ' ' .. about
        end
    end
    local systems, published, digest =
        unpack(call('HMGET', key('inventory'), 'systems', 'published', 'digest'))
    return { 'ok', text(call('ZCARD', key('jobs'))), text(all_waiting()), text(call('ZCARD', key('leases'))),
        systems or '0', published or '0', digest or '', text(now), workers, call('HGETALL', key('counters')) }
end
-- SPDX-License-Identifier: Apache-2.0
-- What workers ask for. Part of the library that core.lua begins.

-- ---- claim -----------------------------------------------------------------------------------------------------

local function start(now, id)
    if call('HGET', key('job', id), 'state') == NEW then
        call('HSET', key('job', id), 'state', RUNNING, 'started', text(now))
    end
end

-- Each group has a ramp: so long from one system to the next, whichever worker it is. It is kept twice: claims take
-- times from it a little ahead, so that what must wait takes no slot of a worker; and each power request takes its
-- time right before it leaves, since one PC takes longer to get there than another.
local RAMP_AHEAD = 2 * 1000000
local RAMP_MOST = 3600 * 1000000

-- A time is kept with the one at which it was taken: where that lies ahead, the clock was set back since, and the
-- time moves with it. None lies further ahead than `most`.
local function next_time(now, ramp, most)
    local at, taken = (call('HGET', key('ramp'), ramp) or ''):match('^(%d+)|?(%d*)$')
    at = number(at) - math.max(number(taken) - now, 0)
    return at <= now + most and math.max(at, now) or now
end

local function take_time(now, ramp, interval, most)
    local at = next_time(now, ramp, most)
    call('HSET', key('ramp'), ramp, text(at + interval) .. '|' .. text(now))
    return at
end

local function ramp_of(claim, group)
    return claim.ramps[group] or claim.ramps['*'] or 0
end

local function may_claim(now, claim, group)
    local interval = ramp_of(claim, group)
    return interval == 0 or next_time(now, 'claim:' .. group, RAMP_AHEAD + interval) <= now + RAMP_AHEAD
end

local function note_claim(now, claim)
    local interval = ramp_of(claim, claim.group)
    if interval > 0 then
        take_time(now, 'claim:' .. claim.group, interval, RAMP_AHEAD + interval)
    end
end

local function own(now, id, sid, task, claim, state)
    task.fence, task.worker = next_fence(now), claim.worker
    call('HSET', key('system', sid), 'job', id, 'fence', task.fence, 'worker', claim.worker)
    call('ZADD', key('leases'), text(now + claim.lease), sid)
    start(now, id)
    move(now, id, sid, task, state)
    local intent = state == 'K' and call('HGET', key('system', sid), 'intent') or ''
    local caller, peer, mechanism = unpack(call('HMGET', key('job', id), 'caller', 'peer', 'mechanism'))
    claim.tasks[#claim.tasks + 1] =
        { id, sid, task.fence, state == 'K' and '1' or '0', intent, caller, peer, mechanism }
end

-- Microseconds for which no unlock of this PC begins; nil: one may. More than it was ever given is of a clock that was
-- set back, and begins anew.
local function cooling(sid)
    local left = call('PTTL', key('cool', sid))
    if left > COOL_MS then
        call('PEXPIRE', key('cool', sid), COOL_MS)
        left = COOL_MS
    end
    return left >= 0 and left * 1000 or nil
end

-- One entry of the queue: claimed, joined, put off or ended; nothing where the entry is stale.
local function take_queued(now, claim, id, sid)
    local task = read_task(id, sid)
    if not task or task.state ~= 'Q' then
        return
    end
    local broken, cool = left_alone(now, sid), cooling(sid)
    if number(call('HGET', key('job', id), 'start_by')) < now then
        end_task(now, id, sid, task, 'F', 'timeout', '')
    elseif call('HEXISTS', claim.inventory, 's:' .. sid) == 0 then
        end_task(now, id, sid, task, 'F', 'not-available', '')
    elseif call('EXISTS', key('system', sid)) == 1 then
        call('ZADD', key('system', sid, 'waiters'), 'NX', text(now), id)
        start(now, id)
        move(now, id, sid, task, 'J')
        tally('joined')
    elseif cool then
        call('ZADD', key('retry'), text(now + cool), id .. '|' .. sid)
    elseif broken then
        end_task(now, id, sid, task, 'F', broken, STEP_LEFT_ALONE)
        tally('left_alone')
    else
        note_claim(now, claim)
        own(now, id, sid, task, claim, 'C')
    end
end

local function take_look(now, claim, id, sid)
    local task = read_task(id, sid)
    if not task or task.state ~= 'L' then
        return
    end
    if number(task.deadline) < now or call('HEXISTS', claim.inventory, 's:' .. sid) == 0 then
        conclude(now, id, sid, task, 'F', 'indeterminate', task.step)
    else
        own(now, id, sid, task, claim, 'K')
    end
end

local function requeue_between(least, most)
    for _, entry in ipairs(call('ZRANGEBYSCORE', key('retry'), least, most, 'LIMIT', 0, 100)) do
        local id, sid = entry:match('^([^|]*)|(.*)$')
        local owner = call('HGET', key('job', id), 'owner')
        call('ZREM', key('retry'), entry)
        if owner then
            put_back(owner, id, sid)
        end
    end
end

-- Nothing is put off for longer than a PC cools down: what is to wait longer was put off by a clock set back since.
local function requeue_due(now)
    requeue_between('-inf', text(now))
    requeue_between('(' .. text(now + COOL_MS * 1000), '+inf')
end

-- The caller's line whose turn it is, of those whose group may go on now, and that group; nil: none may.
local function open_line(now, claim, owner)
    local at = 0
    while true do -- one at a time: mostly it is the first, and a caller may have thousands
        local line = call('ZRANGE', key('turns', owner), at, at)[1]
        local group = line and line:match(':(.*)$')
        if not line or may_claim(now, claim, group) then
            return line, group
        end
        at = at + 1
    end
end

-- The next entry of a line, which pays for its turn. A line that is empty leaves.
local function take_turn(owner, line)
    local sid = call('LPOP', key('queue', line))
    local left = call('LLEN', key('queue', line))
    if left > 0 then
        call('ZINCRBY', key('turns', owner), cost_of_turn(left), line)
    else
        call('ZREM', key('turns', owner), line)
    end
    if call('EXISTS', key('turns', owner)) == 1 then
        local waiting = number(call('HGET', key('caller', owner), 'waiting'))
        call('ZINCRBY', key('ring'), cost_of_turn(waiting), owner)
    else
        call('ZREM', key('ring'), owner)
    end
    return sid
end

-- The job and the system whose turn it is; nil: nothing waits that may go on now.
local function next_queued(now, claim)
    local at = 0
    while true do
        local owner = call('ZRANGE', key('ring'), at, at)[1]
        if not owner then
            return nil
        end
        local line, group = open_line(now, claim, owner)
        local sid = line and take_turn(owner, line)
        if sid then
            claim.group = group
            return line:match('^([^:]*)'), sid
        elseif not line and call('EXISTS', key('turns', owner)) == 0 then
            call('ZREM', key('ring'), owner)
        elseif not line then
            at = at + 1
        end
    end
end

local function next_look()
    local look = call('LPOP', key('looks'))
    if look then
        return look:match('^([^|]*)|(.*)$')
    end
    return nil
end

local function read_claim(read)
    local claim = { tasks = {}, ramps = {} }
    claim.worker, claim.digest = read.take(2)
    claim.max, claim.not_after = math.min(read.number(), CLAIMED_A_CALL), read.number()
    claim.lease = read.number()
    while read.more() do
        local group = read.take(1)
        claim.ramps[group] = read.number()
    end
    return claim
end

-- Takes the next one. False: nothing waits that may go on now.
local function take_next(now, claim)
    local take = take_look
    local id, sid = next_look()
    if not id then
        take = take_queued
        id, sid = next_queued(now, claim)
    end
    if not id then
        return false
    end
    take(now, claim, id, sid)
    return true
end

function verbs.claim(now, read)
    local claim = read_claim(read)
    if late(now, claim.not_after) then
        return { 'late' }
    end
    local generation, live = unpack(call('HMGET', key('inventory'), 'generation', 'digest'))
    if live ~= claim.digest then
        return { 'refused', 'inventory' }
    end
    claim.inventory = key('inventory', generation)
    requeue_due(now)
    -- A bound on entries, not only on tasks claimed: stale and joined ones cost time too.
    local entries, goes_on = 4 * claim.max + 100, true
    while goes_on and entries > 0 and #claim.tasks < claim.max do
        goes_on = take_next(now, claim)
        entries = entries - 1
    end
    local more = goes_on and call('EXISTS', key('looks'), key('ring')) > 0
    if more then
        ring_bell()
    end
    return { 'ok', more and '1' or '0', claim.tasks }
end

-- ---- what it holds ---------------------------------------------------------------------------------------------

-- Only what is named is renewed. What this worker has and has not named for a lease, because the answer to its
-- claim was lost, it does not know of: that goes to others.
local function sweep(now, worker)
    for _, sid in ipairs(call('ZRANGEBYSCORE', key('leases'), '-inf', text(now))) do
        if call('HGET', key('system', sid), 'worker') == worker then
            lose(now, sid)
        end
    end
end

function verbs.renew(now, read)
    local worker, about, last = read.take(3)
    local lease = read.number()
    local lost, kept = {}, {}
    while read.more() do
        local id, sid, fence = read.take(3)
        local task = held(id, sid, worker, fence)
        local goes_on = task and (task.state == 'C' or INTENDED[task.state])
        if task and not goes_on then -- cancelled
            let_go(now, id, sid, task)
        elseif task and task.state == 'K' and number(task.deadline) < now then
            conclude(now, id, sid, task, 'F', 'indeterminate', task.step)
            goes_on = false
        end
        if goes_on then
            kept[#kept + 1] = text(now + lease)
            kept[#kept + 1] = sid
        else
            lost[#lost + 1] = { id, sid, fence }
        end
    end
    write_many('ZADD', key('leases'), kept)
    if last == '1' then
        sweep(now, worker)
        call('SET', key('worker', worker), about, 'PX', text(math.ceil(lease / 2000)))
        call('ZADD', key('workers'), text(now), worker)
        call('ZREMRANGEBYSCORE', key('workers'), '-inf', text(now - 2 * lease))
    end
    return { 'ok', lost }
end

-- Its job was cancelled after the claim, and a web verb may not free a system: whoever joined waits for this.
local function free_cancelled(now, id, sid, task)
    if task and task.state == 'X' then
        let_go(now, id, sid, task)
    end
end

local function refused(id, sid)
    local task = read_task(id, sid)
    return { 'refused', task and 'the task is ' .. task.state .. ', fence ' .. task.fence or 'no such task' }
end

-- Two lines of the inventory may name one device.
local function device_taken(device, sid)
    local other = device ~= '' and call('GET', key('device', device))
    return other and other ~= sid and call('HGET', key('system', other), 'device') == device and other
end

function verbs.intend(now, read)
    local worker, id, sid, fence, step = read.take(5)
    local not_after, deadline = read.number(), read.number()
    local device, intent = read.take(2)
    if late(now, not_after) then
        return { 'late' }
    end
    local task = held(id, sid, worker, fence)
    if task and task.state == 'I' and task.intent_fence == fence then
        return { 'already' }
    end
    if not task or task.state ~= 'C' or task.intent_fence ~= '' then
        free_cancelled(now, id, sid, task)
        return refused(id, sid)
    end
    if number(call('ZSCORE', key('leases'), sid)) < now then
        return { 'refused', 'the lease has ended' }
    end
    local other = device_taken(device, sid)
    if other then
        return { 'conflict', 'the same device is being unlocked as ' .. other }
    end
    task.intent_fence, task.step, task.deadline = fence, clean(step), text(now + deadline)
    call('HSET', key('system', sid), 'intent', intent, 'device', device)
    if device ~= '' then
        call('SET', key('device', device), sid)
    end
    move(now, id, sid, task, 'I')
    return { 'ok' }
end

local BEFORE = { P = { I = true, P = true }, B = { I = true, P = true, B = true } }

function verbs.progress(now, read)
    local worker, id, sid, fence, step, state = read.take(6)
    local task = held(id, sid, worker, fence)
    if not task or not (BEFORE[state] and BEFORE[state][task.state]) then
        return refused(id, sid)
    end
    step = clean(step)
    if task.state == state and task.step == step then
        return { 'already' }
    end
    task.step = step
    move(now, id, sid, task, state)
    return { 'ok' }
end

-- The time at which a task that has its intent may be powered, taken from its group's ramp.
function verbs.ramp(now, read)
    local worker, id, sid, fence = read.take(4)
    local group = select(2, read.take(2))
    local interval = read.number()
    local task = held(id, sid, worker, fence)
    if not task or task.state ~= 'I' then
        return refused(id, sid)
    end
    return { 'ok', text(take_time(now, 'power:' .. group, interval, RAMP_MOST) - now) }
end

function verbs.finish(now, read)
    local worker, id, sid, fence, step, state, reason = read.take(7)
    if state ~= 'U' and state ~= 'F' then
        error('a task ends U or F, not ' .. state)
    end
    local task = held(id, sid, worker, fence)
    if task and (task.state == 'C' or INTENDED[task.state]) then
        conclude(now, id, sid, task, state, reason, clean(step))
        return { 'ok' }
    end
    free_cancelled(now, id, sid, task)
    task = read_task(id, sid)
    if task and task.state == state and task.reason == reason and task.fence == fence and task.worker == worker then
        return { 'already' }
    end
    return refused(id, sid)
end

function verbs.release(now, read)
    local worker, id, sid, fence, step = read.take(5)
    local task = held(id, sid, worker, fence)
    if task then
        task.step = clean(step)
        let_go(now, id, sid, task)
        return { 'ok' }
    end
    task = read_task(id, sid)
    if task and (task.state == 'Q' or task.state == 'L') and task.fence == fence and task.worker == worker then
        return { 'already' }
    end
    return refused(id, sid)
end

-- ---- what others left ------------------------------------------------------------------------------------------

local function end_stale_looks(now)
    local count = 0
    for _, entry in ipairs(call('LRANGE', key('looks'), 0, REAPED_A_CALL - 1)) do
        local id, sid = entry:match('^([^|]*)|(.*)$')
        local task = read_task(id, sid)
        if task and task.state == 'L' and number(task.deadline) < now then
            conclude(now, id, sid, task, 'F', 'indeterminate', task.step)
            count = count + 1
        end
    end
    return count
end

function verbs.reap(now, read)
    local _, lease, grace = read.take(1), read.number(), read.number()
    local over = call('ZRANGEBYSCORE', key('leases'), '-inf', text(now - grace), 'LIMIT', 0, REAPED_A_CALL)
    -- Redis' clock was set back: no lease is given that long.
    local beyond = call('ZRANGEBYSCORE', key('leases'), '(' .. text(now + 2 * lease), '+inf', 'LIMIT', 0,
        REAPED_A_CALL)
    for _, sid in ipairs(over) do
        lose(now, sid)
    end
    for _, sid in ipairs(beyond) do
        lose(now, sid)
    end
    local reaped = #over + #beyond + end_stale_looks(now) + end_all_overdue(now, 20)
    for _, owner in ipairs(call('ZRANGE', key('callers'), 0, 15)) do
        if call('EXISTS', key('jobs', owner)) == 0 then
            call('ZREM', key('callers'), owner)
        end
    end
    return { 'ok', text(reaped) }
end

-- No fence that is given from now on is older than one that was given before Redis forgot it.
local function raise_fence(fence)
    if number(call('GET', key('fence'))) < number(fence) then
        call('SET', key('fence'), fence)
    end
end

-- After Redis lost what it had acknowledged: a worker tells it an intent from its memory or its audit record. A
-- task that Redis remembers before its intent is looked at from now on, and never powered.
function verbs.reassert(now, read)
    local worker, id, sid, fence, step = read.take(5)
    local deadline = read.number()
    local device, intent = read.take(2)
    local task = read_task(id, sid)
    if not task then
        return { 'none' }
    end
    if task.intent_fence ~= '' then
        if held(id, sid, task.worker, fence) and task.worker ~= worker and INTENDED[task.state] then
            let_go(now, id, sid, task) -- by this worker's life before this one
            return { 'ok' }
        end
        return { 'already' }
    end
    if task.state ~= 'Q' and task.state ~= 'C' and task.state ~= 'J' then
        return refused(id, sid)
    end
    task.fence, task.intent_fence, task.worker = fence, fence, worker
    task.step, task.deadline = clean(step), text(now + deadline)
    local owner = call('HGET', key('system', sid), 'job')
    if owner and owner ~= id then -- another job's unlock is under way: that one reports on the PC, not this
        end_task(now, id, sid, task, 'F', 'indeterminate', task.step)
        return { 'ok' }
    end
    call('HSET', key('system', sid), 'job', id, 'fence', fence, 'worker', '', 'intent', intent, 'device', device)
    call('ZREM', key('leases'), sid)
    if device ~= '' then
        call('SET', key('device', device), sid)
    end
    raise_fence(fence)
    start(now, id)
    move(now, id, sid, task, 'L')
    call('RPUSH', key('looks'), id .. '|' .. sid)
    ring_bell()
    return { 'ok' }
end

-- A task that has not ended here ends as a record says that it did. Who owns its system may be another job's task.
local function end_as_told(now, id, sid, task, state, reason, step)
    if call('HGET', key('system', sid), 'job') == id then
        conclude(now, id, sid, task, state, reason, step)
    else
        call('ZREM', key('system', sid, 'waiters'), id)
        end_task(now, id, sid, task, state, reason, step)
    end
end

-- The same of an end: the task is never looked at or powered again, and its waiters have the result. Who came later
-- than the worker that tells, and may have touched the PC, is not overruled.
function verbs.attest(now, read)
    local worker, id, sid, fence, step, state, reason = read.take(7)
    if state ~= 'U' and state ~= 'F' then
        error('a task ends U or F, not ' .. state)
    end
    local task = read_task(id, sid)
    if not task then
        return { 'none' }
    end
    if task.state == state and task.reason == reason then
        return { 'already' }
    end
    local ended = STANDING[task.state] == 'unlocked' or STANDING[task.state] == 'failed'
    if ended or (task.intent_fence ~= '' and number(task.fence) > number(fence)) then
        return refused(id, sid)
    end
    raise_fence(fence)
    start(now, id)
    task.intent_fence = task.intent_fence ~= '' and task.intent_fence or fence
    task.fence, task.worker = fence, worker
    end_as_told(now, id, sid, task, state, reason, clean(step))
    return { 'ok' }
end

-- ---- publishing the inventory ----------------------------------------------------------------------------------

-- Systems as: sid, group, method, how many keys, the keys.
function verbs.publish_chunk(_, read)
    local staged = key('inventory', (read.take(1)))
    local fields = {}
    while read.more() do
        local sid, group, method = read.take(3)
        fields[#fields + 1] = 's:' .. sid
        fields[#fields + 1] = group .. '|' .. method
        for _ = 1, read.number() do
            fields[#fields + 1] = 'n:' .. read.take(1)
            fields[#fields + 1] = sid
        end
    end
    write_many('HSET', staged, fields)
    call('EXPIRE', staged, STAGED_S)
    return { 'ok' }
end

-- With generation '' it only asks whether publishing is called for.
function verbs.publish_switch(now, read)
    local worker, generation, digest = read.take(3)
    local written, systems, fields = read.number(), read.number(), read.number()
    local live = key('inventory')
    local previous, live_digest, live_written = unpack(call('HMGET', live, 'generation', 'digest', 'written'))
    local verdict
    if previous and live_digest == digest and call('EXISTS', key('inventory', previous)) == 1 then
        call('HSET', live, 'written', text(math.max(written, number(live_written))))
        verdict = { 'already' }
    elseif previous and written < number(live_written) then
        verdict = { 'refused', 'a newer inventory is published' }
    elseif generation == '' then
        return { 'ok' }
    elseif call('HLEN', key('inventory', generation)) ~= fields then
        verdict = { 'conflict', 'not every chunk arrived, or two systems share a name' }
    end
    if verdict then
        if generation ~= '' then
            call('UNLINK', key('inventory', generation))
        end
        return verdict
    end
    call('PERSIST', key('inventory', generation))
    call('HSET', live, 'generation', generation, 'digest', digest, 'written', text(written), 'systems',
        text(systems), 'published', text(now), 'by', worker)
    if previous then
        call('EXPIRE', key('inventory', previous), RETIRED_S)
    end
    ring_bell()
    return { 'ok' }
end
-- SPDX-License-Identifier: Apache-2.0
-- What Redis is told of the library: the verbs and their flags.

-- A verb that ends, hands over or keeps what was begun must work in a full Redis too.
local VERBS = {
    { 'submit' },
    { 'read', 'no-writes' },
    { 'results', 'no-writes' },
    { 'errors', 'no-writes' },
    { 'list', 'no-writes' },
    { 'cancel', 'allow-oom' },
    { 'forget', 'allow-oom' },
    { 'context_open' },
    { 'context_pull' },
    { 'context_release', 'allow-oom' },
    { 'overview', 'no-writes' },
    { 'claim' },
    { 'renew', 'allow-oom' },
    { 'intend', 'allow-oom' },
    { 'ramp', 'allow-oom' },
    { 'progress', 'allow-oom' },
    { 'finish', 'allow-oom' },
    { 'release', 'allow-oom' },
    { 'reap', 'allow-oom' },
    { 'reassert', 'allow-oom' },
    { 'attest', 'allow-oom' },
    { 'publish_chunk' },
    { 'publish_switch' },
}

for i = 1, #VERBS do -- pairs() does not exist yet while the library loads
    local name, flag = VERBS[i][1], VERBS[i][2]
    redis.register_function({
        function_name = 'amtunlock_' .. name,
        flags = { flag },
        callback = function(_, args)
            if args[1] ~= SCHEMA then
                return { 'outdated', SCHEMA }
            end
            local time = call('TIME')
            return verbs[name](time[1] * 1000000 + time[2], reader(args))
        end,
    })
end

redis.register_function({
    function_name = 'amtunlock_schema',
    flags = { 'no-writes' },
    callback = function()
        return { 'ok', SCHEMA }
    end,
})
