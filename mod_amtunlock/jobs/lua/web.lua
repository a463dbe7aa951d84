-- SPDX-License-Identifier: Apache-2.0
-- httpd's verbs. Part of the library that core.lua begins.

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

local JOB_FIELDS = { 'state', 'caller', 'owner', 'submitted', 'started', 'changed', 'completed', 'retention',
    'start_by', 'total', 'unlocked', 'failed', 'running', 'waiting', 'cancelled', 'names' }

-- The job as a reader sees it: overdue tasks count as failed before that is written, since a read may not write.
local function view_job(now, id)
    local values = call('HMGET', key('job', id), unpack(JOB_FIELDS))
    if not values[1] then
        return nil
    end
    local job = { id = id }
    for i, field in ipairs(JOB_FIELDS) do
        job[field] = values[i] or '0'
    end
    job.overdue = not has_ended(job.state) and number(job.start_by) < now and job.waiting ~= '0'
    if job.overdue then
        job.failed, job.waiting = text(number(job.failed) + number(job.waiting)), '0'
        if job.running == '0' then
            local ended = text(math.max(number(job.start_by), number(job.changed)))
            job.state, job.completed, job.changed = COMPLETED, ended, ended
        end
    end
    return job
end

-- The job of that id, or the caller's latest if id is ''; nil if there is none that the caller may see.
local function find_job(now, owner, reads_all, id)
    if id ~= '' then
        local job = view_job(now, id)
        return job and (job.owner == owner or reads_all == '1') and job or nil
    end
    for first = 0, call('ZCARD', key('jobs', owner)) - 1, 16 do
        for _, each in ipairs(call('ZREVRANGE', key('jobs', owner), first, first + 15)) do
            local job = view_job(now, each)
            if job then
                return job
            end
        end
    end
    return nil
end

-- '1': a worker is running that begins tasks. '0': none is running. A word: all that run have a reason to begin none.
local function attendance(now)
    local found = '0'
    each_worker(now, function(_, about)
        found = about:match(' idle=(%l+)') or '1'
        return found == '1'
    end)
    return found
end

local READ_A_CALL = 200 -- JOBS_READ_MOST of jobs.h

local function answer_job(now, job)
    if not job then
        return { 'none' }
    end
    return { 'ok', job.id, job.state, job.caller, job.submitted, job.started, job.changed, job.completed, text(now),
        job.retention, job.total, job.unlocked, job.failed, job.running, job.waiting, job.cancelled,
        attendance(now) }
end

function verbs.read(now, read)
    return answer_job(now, find_job(now, read.take(3)))
end

-- Several jobs, each as `read` answers it: a page of an enumeration.
function verbs.read_page(now, read)
    local owner, reads_all = read.take(2)
    local jobs = {}
    while read.more() and #jobs < READ_A_CALL do
        local id = read.take(1)
        jobs[#jobs + 1] = answer_job(now, id ~= '' and find_job(now, owner, reads_all, id))
    end
    return { 'ok', jobs }
end

-- The refused names of positions `first` to `last`, by position as text.
local function read_refused(job, first, last)
    local fields, found = {}, {}
    for part = math.floor(first / POSITIONS_A_PART), math.floor(last / POSITIONS_A_PART) do
        fields[#fields + 1] = 'r:' .. part
    end
    for _, part in ipairs(read_many(key('job', job.id, 'names'), fields)) do
        local at = 1
        while part and at <= #part do
            local position, length, name = part:match('^(%d+) (%d+) ()', at)
            if not position then
                break
            end
            at = name + number(length)
            found[position] = part:sub(name, at - 1)
        end
    end
    return found
end

local REFUSED = { state = 'F', step = '', reason = 'not-available' }

-- The task of a name of the request. Under '!' an older library kept tasks of refused names.
local function view_task(now, job, packed)
    local task = unpack_task(packed) or new_task(now, 'F', 'internal')
    if job.overdue and task.state == 'Q' then
        task.state, task.reason = 'F', 'timeout'
    end
    return task
end

-- Calls each(spelling, task) for a window of the request's names, in the order sent.
local function each_name(now, job, first, count, each)
    local fields, keys, spellings = {}, {}, {}
    local sent = number(job.names)
    if sent == 0 then -- a job of an older library
        sent = call('HLEN', key('job', job.id, 'names'))
    end
    local last = math.min(sent, NAMES_MOST) - 1
    if count >= 0 then
        last = math.min(last, first + count - 1)
    end
    for position = first, last do
        fields[#fields + 1] = text(position)
    end
    for i, name in ipairs(read_many(key('job', job.id, 'names'), fields)) do
        keys[i], spellings[i] = (name or '|'):match('^([^|]*)|(.*)$')
    end
    local packed = read_many(key('job', job.id, 'tasks'), keys)
    local refused = #fields > 0 and read_refused(job, first, last)
    for i, field in ipairs(fields) do
        if refused[field] or keys[i] == '!' then
            each(refused[field] or spellings[i], REFUSED)
        else
            each(spellings[i] ~= '' and spellings[i] or keys[i], view_task(now, job, packed[i]))
        end
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

local LISTED_A_CALL = 5000 -- the newest
local CALLERS_LISTED = 1000

-- The latest jobs of one caller, not more than there is room for.
local function list_jobs(owner, found)
    local jobs = call('ZREVRANGE', key('jobs', owner), 0, LISTED_A_CALL - #found - 1, 'WITHSCORES')
    for i = 1, #jobs, 2 do
        if call('EXISTS', key('job', jobs[i])) == 1 then
            found[#found + 1] = { id = jobs[i], submitted = number(jobs[i + 1]) }
        end
    end
end

function verbs.list(_, read)
    local owner, reads_all = read.take(2)
    local found = {}
    local owners = reads_all == '1' and call('ZREVRANGE', key('callers'), 0, CALLERS_LISTED - 1) or { owner }
    for _, each in ipairs(owners) do
        if #found < LISTED_A_CALL then
            list_jobs(each, found)
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
    call('HSET', key('job', id), 'cancelled', '1')
    note_change(now, id)
    end_tasks(now, id, { Q = true, C = true, J = true }, 'X', 'cancelled')
    return { 'ok' }
end

function verbs.forget(now, read)
    local owner, id = read.take(2)
    if call('HGET', key('job', id), 'owner') ~= owner then
        return { 'none' }
    end
    end_overdue(now, id)
    local state, message, names, bytes, scope =
        unpack(call('HMGET', key('job', id), 'state', 'message', 'names', 'bytes', 'scope'))
    message = message or ''
    if not has_ended(state) then
        return { 'conflict', 'the job has not ended' }
    end
    call('UNLINK', key('job', id), key('job', id, 'tasks'), key('job', id, 'names'), key('message', owner, message),
        key('message', owner, uuid_of(message)))
    call('ZREM', key('jobs', owner), id)
    if names then
        give_back(charge_of(kind_of_job(scope), id, owner, names, bytes or 0))
    end
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
