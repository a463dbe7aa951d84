#!lua name=amtunlock
--[[ Job state, whole: every verb that changes or reads it, each atomic.

A verb's arguments begin with the schema number of the program that calls; its answer is an array that begins with
one word: ok, already, refused, none, quota, conflict, late or outdated. The keys, the states of a task and the
promises are in README.md ("How a job is kept"); this file keeps them.

A task is one system of one job:

    Q queued -> C claimed -> I intent -> P powered -> B booting -> U unlocked | F failed      X cancelled
    J joined: another job's task unlocks this system now, and its result will be this one's too
    L look queued -> K looking: a predecessor may have powered the PC, so look and report, never act

Who owns a system (and so holds its lease) is said by {amtu}:system:<sid>, which only workers may write. Web verbs
therefore never free a system: cancelling a claimed task ends the task at once, and the system is freed when its
worker renews or releases, or is found dead.

Numbers of microseconds are doubles here (exact until the year 2255). They become text by text(), never by Lua's
own conversion, which keeps 14 digits; fences are only ever compared as text. ]]

local SCHEMA = '1' -- raise with every change to this file; JOBS_SCHEMA in redis.h follows
local SLICE = 1000 -- values a call; unpack() fails beyond 8,000
local BELLS = 64
local COOL_MS = 60000
local STAGED_S = 600  -- an inventory that is being published and never switched to
local RETIRED_S = 60  -- the inventory before the live one
local REAPED_A_CALL = 200

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

local function unpack_task(packed)
    local task = {}
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
    local packed = call('HGET', key('job', id, 'tasks'), sid)
    return packed and unpack_task(packed)
end

-- n tasks of a job go from one standing to another. A caller's waiting tasks are counted for its limit.
local function shift(id, from, to, n)
    if from == to or n == 0 then
        return
    end
    call('HINCRBY', key('job', id), from, -n)
    call('HINCRBY', key('job', id), to, n)
    if from == 'waiting' or to == 'waiting' then
        local owner = call('HGET', key('job', id), 'owner')
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
    local kept = { key('job', id), key('job', id, 'tasks'), key('job', id, 'names') }
    if message ~= '' then
        kept[#kept + 1] = message
    end
    if call('HINCRBY', key('caller', owner), 'unfinished', -1) <= 0 then
        call('DEL', key('caller', owner))
        kept[#kept + 1] = key('jobs', owner)
    end
    for _, each in ipairs(kept) do
        call('PEXPIRE', each, text(math.ceil(tonumber(retention) / 1000)))
    end
end

local function end_task(now, id, sid, task, state, reason, step)
    task.reason, task.step = reason, step
    move(now, id, sid, task, state)
    tally(state == 'U' and 'unlocked' or 'failed:' .. reason)
    settle(now, id)
end

-- What waits of a job leaves its caller's queue, so that a queue nobody serves cannot grow by cancelled jobs.
local function drop_queued(id)
    local owner = call('HGET', key('job', id), 'owner')
    local kept = {}
    local prefix = id .. '|'
    local queued = call('LRANGE', key('queue', owner), 0, -1)
    for _, entry in ipairs(queued) do
        if entry:sub(1, #prefix) ~= prefix then
            kept[#kept + 1] = entry
        end
    end
    if #kept < #queued then
        call('DEL', key('queue', owner))
        write_many('RPUSH', key('queue', owner), kept)
    end
    if #kept == 0 then
        call('ZREM', key('ring'), owner)
    end
end

-- Ends every task of the job that is in one of `states`.
local function end_tasks(now, id, states, state, reason)
    local changed, count = {}, { waiting = 0, running = 0 }
    local all = call('HGETALL', key('job', id, 'tasks'))
    for i = 1, #all, 2 do
        local task = unpack_task(all[i + 1])
        if states[task.state] then
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
    if state and not ended(state) and tonumber(start_by) < now then
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
    job.overdue = not ended(job.state) and tonumber(job.start_by) < now and job.waiting ~= '0'
    if job.overdue then
        job.failed, job.waiting = text(tonumber(job.failed) + tonumber(job.waiting)), '0'
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
    for _, each in ipairs(call('ZREVRANGE', key('jobs', owner), 0, -1)) do
        local job = view(now, each)
        if job then
            return job
        end
    end
    return nil
end

-- ---- queues ----------------------------------------------------------------------------------------------------

-- Back to the head of its caller's queue. The job may be past its latest start: claim and reap see to that.
local function requeue(now, id, sid, task)
    local owner, start_by = unpack(call('HMGET', key('job', id), 'owner', 'start_by'))
    move(now, id, sid, task, 'Q')
    call('LPUSH', key('queue', owner), id .. '|' .. sid)
    call('ZADD', key('ring'), 'NX', text(now), owner)
    call('ZADD', key('deadlines'), start_by, id)
    ring_bell()
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
    local previous = tonumber(call('GET', key('fence')) or '0')
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
    for i = #waiters, 1, -1 do
        local task = read_task(waiters[i], sid)
        if task and task.state == 'J' then
            requeue(now, waiters[i], sid, task)
        end
    end
end

-- The end of an unlock: the task's, and that of all who joined.
local function conclude(now, id, sid, task, state, reason, step)
    local waiters = free(sid)
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

-- ---- web: submit -----------------------------------------------------------------------------------------------

-- Which systems these names are. Unknown and out of scope end alike, under '!' and what the caller wrote.
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
    local tasks, packed, queued = {}, {}, {}
    for i, name in ipairs(names) do
        local group = lines[i] and lines[i]:match('^([^|]*)')
        local known = group and (groups['*'] or groups[group])
        name.task = known and sids[i] or '!' .. name.key
        if not tasks[name.task] then
            tasks[name.task] = true
            packed[#packed + 1] = name.task
            packed[#packed + 1] = pack_task(new_task(now, known and 'Q' or 'F', known and '' or 'not-available'))
            if known then
                queued[#queued + 1] = sids[i]
            end
        end
    end
    return packed, queued
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

local function store_job(now, s, packed, queued)
    local total, waiting = #packed / 2, #queued
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
        call('SET', s.message, s.id)
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

local function over_quota(s, waiting)
    local count = call('HMGET', key('caller', s.owner), 'unfinished', 'waiting')
    if waiting == 0 then
        return nil
    elseif s.max_jobs > 0 and tonumber(count[1] or 0) + 1 > s.max_jobs then
        return 'jobs'
    elseif s.max_systems > 0 and tonumber(count[2] or 0) + waiting > s.max_systems then
        return 'systems'
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
    s.message = s.message ~= '' and key('message', s.owner, s.message) or ''
    local same = s.message ~= '' and call('GET', s.message)
    if same and call('EXISTS', key('job', same)) == 1 then
        return { 'ok', same, '1' }
    end
    end_all_overdue(now, 2) -- keeps Redis from filling up when no worker lives
    local packed, queued = resolve(now, s.names, s.groups)
    local limit = over_quota(s, #queued)
    if limit then
        return { 'quota', limit }
    end
    prune(s.owner)
    store_job(now, s, packed, queued)
    tally('jobs')
    local refused = #packed / 2 - #queued
    if refused > 0 then
        tally('refused', refused)
        tally('failed:not-available', refused)
    end
    if #queued == 0 then
        settle(now, s.id)
        return { 'ok', s.id, '0' }
    end
    for i, sid in ipairs(queued) do
        queued[i] = s.id .. '|' .. sid
    end
    write_many('RPUSH', key('queue', s.owner), queued)
    call('ZADD', key('ring'), 'NX', text(now), s.owner)
    call('ZADD', key('deadlines'), text(now + s.start_within), s.id)
    ring_bell()
    return { 'ok', s.id, '0' }
end

-- ---- web: reading, cancelling, forgetting ----------------------------------------------------------------------

function verbs.read(now, read)
    local job = find(now, read.take(3))
    if not job then
        return { 'none' }
    end
    return { 'ok', job.id, job.state, job.caller, job.submitted, job.started, job.changed, job.completed, text(now),
        job.retention, job.total, job.unlocked, job.failed, job.running, job.waiting, job.cancelled }
end

-- Calls each(spelling, task) for the names of a window, in the order sent.
local function each_name(job, first, count, each)
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
        local task = unpack_task(packed)
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
    each_name(job, read.number(), read.number(), function(spelling, task)
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
    each_name(job, 0, -1, function(spelling, task)
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
    call('UNLINK', key('job', id), key('job', id, 'tasks'), key('job', id, 'names'))
    if message ~= '' then
        call('DEL', message)
    end
    call('ZREM', key('jobs', owner), id)
    return { 'ok' }
end

-- ---- web: enumerations in progress -----------------------------------------------------------------------------

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
    first, items = tonumber(first), tonumber(items)
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

-- ---- web: overview ---------------------------------------------------------------------------------------------

function verbs.overview(now)
    local waiting = call('ZCARD', key('retry'))
    for _, owner in ipairs(call('ZRANGE', key('ring'), 0, -1)) do
        waiting = waiting + call('LLEN', key('queue', owner))
    end
    local workers = {}
    for _, worker in ipairs(call('ZRANGE', key('workers'), 0, -1)) do
        local about = call('GET', key('worker', worker))
        if about then
            workers[#workers + 1] = worker .. ' ' .. about
        end
    end
    local systems, published, digest =
        unpack(call('HMGET', key('inventory'), 'systems', 'published', 'digest'))
    return { 'ok', text(call('ZCARD', key('jobs'))), text(waiting), text(call('ZCARD', key('leases'))),
        systems or '0', published or '0', digest or '', text(now), workers, call('HGETALL', key('counters')) }
end

-- ---- worker: claim ---------------------------------------------------------------------------------------------

local function start(now, id)
    if call('HGET', key('job', id), 'state') == NEW then
        call('HSET', key('job', id), 'state', RUNNING, 'started', text(now))
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

-- One entry of the queue: claimed, joined, put off or ended; nothing where the entry is stale.
local function take_queued(now, claim, id, sid)
    local task = read_task(id, sid)
    if not task or task.state ~= 'Q' then
        return
    end
    if tonumber(call('HGET', key('job', id), 'start_by')) < now then
        end_task(now, id, sid, task, 'F', 'timeout', '')
    elseif call('HEXISTS', claim.inventory, 's:' .. sid) == 0 then
        end_task(now, id, sid, task, 'F', 'not-available', '')
    elseif call('EXISTS', key('system', sid)) == 1 then
        call('ZADD', key('system', sid, 'waiters'), 'NX', text(now), id)
        start(now, id)
        move(now, id, sid, task, 'J')
        tally('joined')
    elseif call('EXISTS', key('cool', sid)) == 1 then
        local again = now + call('PTTL', key('cool', sid)) * 1000
        call('ZADD', key('retry'), text(again), id .. '|' .. sid)
    else
        own(now, id, sid, task, claim, 'C')
    end
end

local function take_look(now, claim, id, sid)
    local task = read_task(id, sid)
    if not task or task.state ~= 'L' then
        return
    end
    if tonumber(task.deadline) < now or call('HEXISTS', claim.inventory, 's:' .. sid) == 0 then
        conclude(now, id, sid, task, 'F', 'indeterminate', task.step)
    else
        own(now, id, sid, task, claim, 'K')
    end
end

local function requeue_due(now)
    for _, entry in ipairs(call('ZRANGEBYSCORE', key('retry'), '-inf', text(now), 'LIMIT', 0, 100)) do
        local owner = call('HGET', key('job', entry:match('^[^|]*')), 'owner')
        call('ZREM', key('retry'), entry)
        if owner then
            call('LPUSH', key('queue', owner), entry)
            call('ZADD', key('ring'), 'NX', text(now), owner)
        end
    end
end

-- The next entry of the caller served longest ago. Each turn gets a later score than all before it.
local function next_queued(turn)
    while true do
        local owner = call('ZRANGE', key('ring'), 0, 0)[1]
        if not owner then
            return nil
        end
        local entry = call('LPOP', key('queue', owner))
        if entry then
            call('ZADD', key('ring'), text(turn), owner)
            return entry
        end
        call('ZREM', key('ring'), owner)
    end
end

function verbs.claim(now, read)
    local claim = { tasks = {} }
    local digest
    claim.worker, digest = read.take(2)
    local max, not_after = read.number(), read.number()
    claim.lease = read.number()
    if late(now, not_after) then
        return { 'late' }
    end
    local generation, live = unpack(call('HMGET', key('inventory'), 'generation', 'digest'))
    if live ~= digest then
        return { 'refused', 'inventory' }
    end
    claim.inventory = key('inventory', generation)
    requeue_due(now)
    -- A bound on entries, not only on tasks claimed: stale and joined ones cost time too.
    for turn = 1, 4 * max + 100 do
        if #claim.tasks >= max then
            break
        end
        local look = call('LPOP', key('looks'))
        local entry = look or next_queued(now + turn)
        if not entry then
            break
        end
        local id, sid = entry:match('^([^|]*)|(.*)$')
        local take = look and take_look or take_queued
        take(now, claim, id, sid)
    end
    local more = call('EXISTS', key('looks'), key('ring')) > 0
    if more then
        ring_bell()
    end
    return { 'ok', more and '1' or '0', claim.tasks }
end

-- ---- worker: what it holds -------------------------------------------------------------------------------------

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
        elseif task and task.state == 'K' and tonumber(task.deadline) < now then
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
        return refused(id, sid)
    end
    if tonumber(call('ZSCORE', key('leases'), sid) or 0) < now then
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
    task = read_task(id, sid)
    if task and (task.state == 'U' or task.state == 'F') and task.fence == fence and task.worker == worker then
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

-- ---- worker: what others left ----------------------------------------------------------------------------------

local function end_stale_looks(now)
    local count = 0
    for _, entry in ipairs(call('LRANGE', key('looks'), 0, REAPED_A_CALL - 1)) do
        local id, sid = entry:match('^([^|]*)|(.*)$')
        local task = read_task(id, sid)
        if task and task.state == 'L' and tonumber(task.deadline) < now then
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
    local previous = tonumber(call('GET', key('fence')) or '0')
    if previous < tonumber(fence) then
        call('SET', key('fence'), fence)
    end
    start(now, id)
    move(now, id, sid, task, 'L')
    call('RPUSH', key('looks'), id .. '|' .. sid)
    ring_bell()
    return { 'ok' }
end

-- ---- worker: publishing the inventory --------------------------------------------------------------------------

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
        call('HSET', live, 'written', text(math.max(written, tonumber(live_written))))
        verdict = { 'already' }
    elseif previous and written < tonumber(live_written) then
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

-- ---- what Redis is told ----------------------------------------------------------------------------------------

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
    { 'progress', 'allow-oom' },
    { 'finish', 'allow-oom' },
    { 'release', 'allow-oom' },
    { 'reap', 'allow-oom' },
    { 'reassert', 'allow-oom' },
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
