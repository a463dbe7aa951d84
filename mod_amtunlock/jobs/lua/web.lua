-- SPDX-License-Identifier: Apache-2.0
-- httpd's verbs. Part of the library that core.lua begins.

-- ---- submit ----------------------------------------------------------------------------------------------------

-- Resolves the names of a request: gives the packed tasks, the systems that wait by group, and how many wait. Names
-- that are unknown and names out of scope fail alike, under '!' and the name's key.
local function resolve_names(now, names, groups)
    local generation = call('HGET', key('inventory'), 'generation')
    local inventory = key('inventory', generation or 'none')
    local fields, line_fields = {}, {}
    for i, name in ipairs(names) do
        fields[i] = 'n:' .. name.key
    end
    local systems = read_many(inventory, fields)
    for i = 1, #names do
        line_fields[i] = 's:' .. (systems[i] or '')
    end
    local lines = read_many(inventory, line_fields)
    local waits = pack_task(new_task(now, 'Q', ''))
    local refused = pack_task(new_task(now, 'F', 'not-available'))
    local tasks, packed, waiting, of_group, count = {}, {}, {}, {}, 0
    for i, name in ipairs(names) do
        local group = lines[i] and lines[i]:match('^([^|]*)')
        local known = group and (groups['*'] or groups[group])
        name.denied = group and not known
        name.task = known and systems[i] or '!' .. name.key
        if not tasks[name.task] then
            tasks[name.task] = true
            packed[#packed + 1] = name.task
            packed[#packed + 1] = known and waits or refused
            if known then
                if not of_group[group] then
                    of_group[group] = { group = group }
                    waiting[#waiting + 1] = of_group[group]
                end
                table.insert(of_group[group], systems[i])
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
    s.groups, s.grants, s.names = {}, {}, {}
    for i = 1, read.number() do
        s.grants[i] = read.take(1)
        s.groups[group_of_grant(s.grants[i])] = true
    end
    while read.more() do
        local spelling, name = read.take(2)
        s.names[#s.names + 1] = { spelling = spelling, key = name }
    end
    return s
end

-- Whether the caller's message id came with other systems before, in a job that still exists.
local function is_message_id_reused(s)
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

-- Removes the oldest entries of a caller's list whose jobs have expired.
local function prune_jobs(owner)
    for _, id in ipairs(call('ZRANGE', key('jobs', owner), 0, 15)) do
        if call('EXISTS', key('job', id)) == 0 then
            call('ZREM', key('jobs', owner), id)
        end
    end
end

-- Systems of all callers together, which bounds Redis' memory.
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
    if is_late(now, s.not_after) then
        return { 'late' }
    end
    local owner = call('HGET', key('job', s.id), 'owner')
    if owner then -- sent again: the first call arrived, its answer was lost
        return owner == s.owner and { 'ok', s.id, '0' } or { 'refused', 'this job id is taken' }
    end
    local same = s.message ~= '' and call('GET', key('message', s.owner, s.message))
    if same and call('EXISTS', key('job', same)) == 1 then
        return { 'ok', same, '1' }
    end
    end_all_overdue(now, 2) -- keeps Redis from filling up while no worker runs
    local packed, waiting, count = resolve_names(now, s.names, s.groups)
    local limit = over_quota(s, count)
    if limit then
        return { 'quota', limit }
    end
    prune_jobs(s.owner)
    local match = is_message_id_reused(s) and '2' or '0' -- jobs_match_e
    store_job(now, s, packed, count)
    keep_scope(s.id, s.grants)
    local denied = note_denied(now, s)
    tally('jobs')
    local refused = #packed / 2 - count
    if refused > 0 then
        tally('refused', refused)
        tally('failed:not-available', refused)
    end
    if count == 0 then
        complete_if_done(now, s.id)
        return { 'ok', s.id, match, denied }
    end
    for _, systems in ipairs(waiting) do
        local line = s.id .. ':' .. systems.group
        write_many('RPUSH', key('queue', line), systems)
        join_queue(s.owner, line)
    end
    call('ZADD', key('deadlines'), text(now + s.start_within), s.id)
    wake_workers()
    return { 'ok', s.id, match, denied }
end

-- ---- workers -----------------------------------------------------------------------------------------------------

-- A worker that was not heard for so long is not running. One that is has a heartbeat every three seconds.
local HEARD_WITHIN = 9 * 1000000

-- Calls each(worker, about) of those that run, until it returns true. A heartbeat in the future is from before Redis'
-- clock was set back, and outlives its worker: skipped.
local function each_worker(now, each)
    for _, worker in ipairs(call('ZRANGEBYSCORE', key('workers'), text(now - HEARD_WITHIN), text(now))) do
        local about = call('GET', key('worker', worker))
        if about and each(worker, about) then
            return true
        end
    end
    return false
end

-- ---- reading, cancelling, forgetting ---------------------------------------------------------------------------

function verbs.read(now, read)
    local job = find_job(now, read.take(3))
    if not job then
        return { 'none' }
    end
    return { 'ok', job.id, job.state, job.caller, job.submitted, job.started, job.changed, job.completed, text(now),
        job.retention, job.total, job.unlocked, job.failed, job.running, job.waiting, job.cancelled,
        each_worker(now, function() return true end) and '1' or '0' }
end

-- Calls each(spelling, task) for a window of the request's names, in the order sent.
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
    local job = find_job(now, read.take(3))
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
    local job = find_job(now, read.take(3))
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
    if is_late(now, read.number()) then
        return { 'late' }
    end
    if call('HGET', key('job', id), 'owner') ~= owner then
        return { 'none' }
    end
    end_overdue(now, id)
    if has_ended(call('HGET', key('job', id), 'state')) then
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
    if not has_ended(state) then
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
    each_worker(now, function(worker, about)
        workers[#workers + 1] = worker .. ' ' .. about
    end)
    local systems, published, digest =
        unpack(call('HMGET', key('inventory'), 'systems', 'published', 'digest'))
    return { 'ok', text(call('ZCARD', key('jobs'))), text(all_waiting()), text(call('ZCARD', key('leases'))),
        systems or '0', published or '0', digest or '', text(now), workers, call('HGETALL', key('counters')) }
end
