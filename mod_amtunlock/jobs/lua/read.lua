-- SPDX-License-Identifier: Apache-2.0
-- Reading. Part of the library that core.lua begins. Every caller may poll: so what a call reads is bounded whatever the
-- size of a job, and who has read a job before is told in one call of a few values that it is as it was.

-- ---- workers ---------------------------------------------------------------------------------------------------

-- Calls each(worker, about) of those that run, until it returns true. A heartbeat in the future is from before Redis'
-- clock was set back, and outlives its worker: skipped.
local function each_worker(now, each)
    for _, worker in ipairs(call('ZRANGEBYSCORE', key('workers'), text(now - HEARD_WITHIN), text(now), 'LIMIT', 0,
        VALUES_A_CALL)) do
        local about = call('GET', key('worker', worker))
        if about and each(worker, about) then
            return true
        end
    end
    return false
end

-- ---- a job -----------------------------------------------------------------------------------------------------

local JOB_FIELDS = { 'state', 'caller', 'owner', 'submitted', 'started', 'changed', 'completed', 'retention',
    'start_by', 'total', 'unlocked', 'failed', 'running', 'waiting', 'cancelled', 'names', 'changes' }

-- The job as a reader sees it: what is overdue or cancelled counts as failed before that is written of each task. While
-- its version stays the same, so does all that is shown of it but the time.
local function view_job(now, id)
    local values = call('HMGET', key('job', id), unpack(JOB_FIELDS))
    if not values[1] then
        return nil
    end
    local job = { id = id }
    for i, field in ipairs(JOB_FIELDS) do
        job[field] = values[i] or '0'
    end
    local waits = not has_ended(job.state) and job.waiting ~= '0'
    job.overdue = waits and number(job.start_by) < now
    job.version = table.concat({ id, job.changes, job.changed, job.overdue and '1' or '0', job.cancelled }, ' ')
    if job.overdue or waits and job.cancelled == '1' then
        job.failed, job.waiting = text(number(job.failed) + number(job.waiting)), '0'
        if job.running == '0' then
            local ended = text(math.max(job.overdue and number(job.start_by) or 0, number(job.changed)))
            job.state = job.cancelled == '1' and TERMINATED or COMPLETED
            job.completed, job.changed = ended, ended
        end
    end
    return job
end

do -- names of its own: Lua allows 200 in one block

local LATEST = 16 -- of a list, at a time

-- The job of that id, or the caller's latest if id is ''; nil if there is none that the caller may see.
local function find_job(now, owner, reads_all, id)
    if id ~= '' then
        local job = view_job(now, id)
        return job and (job.owner == owner or reads_all == '1') and job or nil
    end
    local last = math.min(call('ZCARD', key('jobs', owner)), VALUES_A_CALL) - 1
    for first = 0, last, LATEST do
        for _, each in ipairs(call('ZREVRANGE', key('jobs', owner), first, first + LATEST - 1)) do
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

local function answer_job(now, job, attended)
    if not job then
        return { 'none' }
    end
    return { 'ok', job.id, job.state, job.caller, job.submitted, job.started, job.changed, job.completed, text(now),
        job.retention, job.total, job.unlocked, job.failed, job.running, job.waiting, job.cancelled, attended }
end

function verbs.read(now, read)
    return answer_job(now, find_job(now, read.take(3)), attendance(now))
end

local READ_A_CALL = 100 -- JOBS_READ_MOST of jobs.h

-- Several jobs, each as `read` answers it: a page of an enumeration.
function verbs.read_page(now, read)
    local owner, reads_all = read.take(2)
    local jobs, attended = {}, attendance(now)
    while read.more() and #jobs < READ_A_CALL do
        local id = read.take(1)
        jobs[#jobs + 1] = answer_job(now, id ~= '' and find_job(now, owner, reads_all, id), attended)
    end
    return { 'ok', jobs }
end

-- ---- the names of a job ----------------------------------------------------------------------------------------

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
            if number(position) > last then
                break
            elseif number(position) >= first then
                found[position] = part:sub(name, at - 1)
            end
        end
    end
    return found
end

-- The systems of positions `first` to `last`, false for refused names, and all names as they were sent.
local function read_names(job, first, last)
    local fields, systems, spellings, refused = {}, {}, {}, nil
    for position = first, last do
        fields[#fields + 1] = text(position)
    end
    for i, name in ipairs(read_many(key('job', job.id, 'names'), fields)) do
        local system, spelling = (name or '!|'):match('^([^|]*)|(.*)$')
        if not name then
            refused = refused or read_refused(job, first, last)
            spelling = refused[fields[i]] or ''
        end
        systems[i] = system ~= '!' and system
        spellings[i] = spelling ~= '' and spelling or system
    end
    return systems, spellings
end

-- The tasks of `systems` as text, nil for those that are false. Under '!' an older library kept tasks of refused names.
local function read_tasks(job, systems)
    local fields, tasks = {}, {}
    for _, system in ipairs(systems) do
        fields[#fields + 1] = system or nil
    end
    local found, at = read_many(key('job', job.id, 'tasks'), fields), 0
    for i, system in ipairs(systems) do
        at = system and at + 1 or at
        tasks[i] = system and found[at] or nil
    end
    return tasks
end

local NAMES_A_PAGE = 250 -- JOBS_NAMES_A_PAGE of jobs.h

-- A window of a job's names. As a first look, where AS_OF is 0: its version, and the names unless the reader KNOWS this
-- version or they are more than MOST. Else as a page of what a first look found at AS_OF to be the version KNOWN: what
-- ended later is left out, so that all pages together show one state of the job. What has ended stays as it ended.
local function read_window(now, read)
    local window = { now = now, job = find_job(now, read.take(3)) }
    local first, count, most = read.number(), read.number(), math.min(read.number(), NAMES_A_PAGE)
    window.known, window.as_of = read.take(1), read.number()
    local job = window.job
    if not job then
        return window
    end
    local sent = number(job.names)
    if sent == 0 then -- a job of an older library
        sent = call('HLEN', key('job', job.id, 'names'))
    end
    window.first, window.last = first, math.min(sent, NAMES_MOST) - 1
    if count >= 0 then
        window.last = math.min(window.last, first + count - 1)
    end
    local is_same = job.version == window.known
    window.has_moved = window.as_of > 0 and not is_same
    window.is_listed = window.last - first < most and (window.as_of > 0 or not is_same)
    return window
end

-- What the version KNOWN to the reader says: how often the job had changed, whether it was overdue, and cancelled.
local function known_of(window)
    local changes, overdue, cancelled = window.known:match(' (%d+) %S* (%d) (%d)$')
    return number(changes), overdue == '1', cancelled == '1'
end

local ENDED = '^%u|[^|]*|[^|]*|[^|]*|([^|]*)|[^|]*|(%d*)|([^|]*)$'

-- The standing that a reader of the window is shown, and where that is `failed`, step and reason.
local function view_task(window, packed)
    local letter = packed:sub(1, 1)
    local standing = STANDING[letter]
    if letter == 'Q' and window.overdue then
        return 'failed', packed:match(ENDED) or '', 'timeout'
    elseif REVOCABLE[letter] and window.cancelled then
        return 'failed', packed:match(ENDED) or '', 'cancelled'
    elseif standing == 'waiting' or standing == 'running' or standing == 'unlocked' and not window.has_moved then
        return standing
    end
    local step, time, reason = packed:match(ENDED)
    if window.has_moved and number(time) > window.as_of and number(time) <= window.now and
        not (window.overdue and reason == 'timeout') and not (window.cancelled and letter == 'X') then
        return 'running'
    end
    return standing or 'failed', step or '', reason or 'internal'
end

-- Answers with the window, and calls each(spelling, standing, step, reason) for its names, in the order sent.
local function answer_window(window, lists, each)
    local job, changes = window.job, nil
    if not job then
        return { 'none' }
    end
    window.overdue, window.cancelled = job.overdue, job.cancelled == '1'
    if window.as_of > 0 then
        changes, window.overdue, window.cancelled = known_of(window)
        if number(job.changes) < changes then
            return { 'refused', 'the job is older than it was' }
        end
    end
    if window.is_listed then
        local systems, spellings = read_names(job, window.first, window.last)
        local tasks = read_tasks(job, systems)
        for i, system in ipairs(systems) do
            if system then
                each(spellings[i], view_task(window, tasks[i] or ''))
            else
                each(spellings[i], 'failed', '', 'not-available')
            end
        end
    end
    return { 'ok', job.id, job.version, text(math.max(window.last - window.first + 1, 0)), text(window.now),
        unpack(lists) }
end

function verbs.results(now, read)
    local unlocked, failed = {}, {}
    return answer_window(read_window(now, read), { unlocked, failed }, function(spelling, standing)
        local list = standing == 'unlocked' and unlocked or standing == 'failed' and failed
        if list then
            list[#list + 1] = spelling
        end
    end)
end

function verbs.errors(now, read)
    local errors = {}
    return answer_window(read_window(now, read), { errors }, function(spelling, standing, step, reason)
        if standing == 'failed' then
            errors[#errors + 1] = spelling
            errors[#errors + 1] = step
            errors[#errors + 1] = reason
        end
    end)
end

end
