-- SPDX-License-Identifier: Apache-2.0
-- httpd's verbs. Part of the library that core.lua begins.

-- ---- submit ----------------------------------------------------------------------------------------------------

local OWNER_MOST, NAME_MOST = 80, 600 -- bytes
local GIVEN_BACK_A_CALL = 5000
local UNPACKED_MOST = 8 -- names of a request
local BYTES_A_NAME, BYTES_A_JOB = 12, 2048 -- what Redis needs beside the text, about

-- A request as it was resolved: `packed`, the tasks of the known systems; `lines`, these systems by group; `count` of
-- them; `refused`, how many other names. Names that are unknown and names out of scope fail alike, and have no task.
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
    local found, seen, of_group = { packed = {}, lines = {}, count = 0, refused = 0, bytes = 0 }, {}, {}
    for i, name in ipairs(names) do
        local group = lines[i] and lines[i]:match('^([^|]*)')
        name.system = group and (groups['*'] or groups[group]) and systems[i] or nil
        name.denied = group and not name.system
        local once = name.system or '!' .. name.key
        if not name.system then
            found.bytes = found.bytes + #name.spelling + BYTES_A_NAME
        end
        if not seen[once] then
            seen[once] = true
            if name.system then
                if not of_group[group] then
                    of_group[group] = { group = group }
                    table.insert(found.lines, of_group[group])
                end
                table.insert(of_group[group], name.system)
                table.insert(found.packed, name.system)
                table.insert(found.packed, waits)
                found.count = found.count + 1
            else
                found.refused = found.refused + 1
            end
        end
    end
    return found
end

local function take_text(read, most)
    local value = read.take(1)
    if #value > most then
        error('an argument of ' .. #value .. ' bytes is too long')
    end
    return value
end

local function read_submission(read)
    local s = {}
    s.id, s.caller, s.owner, s.peer, s.mechanism, s.message = take_text(read, ID_MOST), take_text(read, CALLER_MOST),
        take_text(read, OWNER_MOST), take_text(read, ID_MOST), take_text(read, ID_MOST), take_text(read, 2 * OWNER_MOST)
    s.not_after, s.retention, s.start_within = read.number(), read.number(), read.number()
    s.max_jobs, s.max_kept = read.limits()
    s.max_systems, s.max_names = read.limits()
    s.groups, s.grants, s.names = {}, {}, {}
    for i = 1, read.number() do
        s.grants[i] = take_text(read, NAME_MOST)
        s.groups[group_of_grant(s.grants[i])] = true
    end
    s.kind = kind_of_job(scope_of(s.grants))
    while read.more() do
        s.names[#s.names + 1] = { spelling = take_text(read, NAME_MOST), key = take_text(read, NAME_MOST) }
    end
    if #s.names > NAMES_MOST then
        error('more than ' .. NAMES_MOST .. ' names')
    end
    return s
end

-- Whether the caller's message id came with other systems before, in a job that still exists.
local function is_message_id_reused(s)
    local other = s.message ~= '' and call('GET', key('message', s.owner, uuid_of(s.message)))
    return other and call('EXISTS', key('job', other)) == 1
end

-- Fields of the names' hash. Refused names are packed, since nothing about them will ever change, where there are many.
local function fields_of_names(names)
    local fields, parts = {}, {}
    for i, name in ipairs(names) do
        if name.system or #names <= UNPACKED_MOST then
            fields[#fields + 1] = text(i - 1)
            fields[#fields + 1] = (name.system or '!') .. '|' ..
                (name.spelling ~= name.system and name.spelling or '')
        else
            local part = math.floor((i - 1) / POSITIONS_A_PART)
            parts[part] = parts[part] or {}
            table.insert(parts[part], (i - 1) .. ' ' .. #name.spelling .. ' ' .. name.spelling)
        end
    end
    for part = 0, math.floor((#names - 1) / POSITIONS_A_PART) do
        if parts[part] then
            fields[#fields + 1] = 'r:' .. part
            fields[#fields + 1] = table.concat(parts[part])
        end
    end
    return fields
end

local function store_job(now, s, found)
    call('HSET', key('job', s.id), 'state', NEW, 'caller', s.caller, 'owner', s.owner, 'peer', s.peer, 'mechanism',
        s.mechanism, 'submitted', text(now), 'started', '0', 'changed', text(now), 'completed', '0', 'retention',
        text(s.retention), 'start_by', text(now + s.start_within), 'total', found.count + found.refused, 'waiting',
        found.count, 'running', 0, 'unlocked', 0, 'failed', found.refused, 'cancelled', '0', 'message', s.message,
        'names', #s.names, 'bytes', found.bytes)
    write_many('HSET', key('job', s.id, 'tasks'), found.packed)
    write_many('HSET', key('job', s.id, 'names'), fields_of_names(s.names))
    call('ZADD', key('jobs'), text(now), s.id)
    call('ZADD', key('jobs', s.owner), text(now), s.id)
    call('PERSIST', key('jobs', s.owner))
    call('ZADD', key('callers'), text(now), s.owner)
    call('HINCRBY', key('caller', s.owner), 'unfinished', 1)
    count_waiting(s.owner, found.count)
    count_charge(s.kind, s.owner, #s.names, found.bytes, 1)
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

-- Of all callers together, which bounds Redis' memory: systems that wait; bytes that are kept of refused names. Where
-- others have used them up, a caller still has LEAST of its own.
local MOST_WAITING, LEAST_WAITING = 200000, 2000
local MB = 1024 * 1024
-- Anybody who can log in may send refused names. What callers who may unlock nothing keep takes nothing from the others.
local REFUSED_NAMES = {
    j = { most = 32 * MB, share = 16 * MB, least = MB / 16 },
    u = { most = 16 * MB, share = MB / 2, least = 0 },
}
local SCARCE_FOR = 30 * 1000000 -- workers look every few seconds whether memory is still short

-- Asked before the names are resolved, so that who is over a limit costs little.
local function over_kept(now, s)
    local kept, names = unpack(call('HMGET', key('caller', s.owner), 'kept', 'names'))
    if s.max_kept > 0 and number(kept) + 1 > s.max_kept then
        return 'kept'
    elseif s.max_names > 0 and number(names) + #s.names > s.max_names then
        return 'names'
    elseif number(call('HGET', TOTALS, 'scarce')) > now - SCARCE_FOR then
        return 'memory'
    end
    return nil
end

-- The caller's own share counts where most names are refused; all callers' where all are.
local function over_refused(s, found)
    local bounds = REFUSED_NAMES[s.kind]
    local own = number(call('HGET', key('caller', s.owner), 'bytes')) + found.bytes
    if found.refused > found.count and own > bounds.share then
        return 'share'
    elseif found.count == 0 and own > bounds.least and
        number(call('HGET', TOTALS, BYTES_OF[s.kind])) + found.bytes > bounds.most then
        return 'refused'
    end
    return nil
end

local function over_quota(s, found)
    if found.count == 0 then
        return over_refused(s, found)
    end
    local count = call('HMGET', key('caller', s.owner), 'unfinished', 'waiting')
    local waiting = number(count[2]) + found.count
    if s.max_jobs > 0 and number(count[1]) + 1 > s.max_jobs then
        return 'jobs'
    elseif s.max_systems > 0 and waiting > s.max_systems then
        return 'systems'
    elseif waiting > LEAST_WAITING and all_waiting() + found.count > MOST_WAITING then
        return 'everybody'
    end
    return over_refused(s, found)
end

local function queue_lines(now, s, found)
    for _, systems in ipairs(found.lines) do
        local line = s.id .. ':' .. systems.group
        write_many('RPUSH', key('queue', line), systems)
        join_queue(s.owner, line)
    end
    call('ZADD', key('deadlines'), text(now + s.start_within), s.id)
    wake_workers()
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
    give_back_expired(now, GIVEN_BACK_A_CALL)
    if call('EXISTS', key('jobs', s.owner)) == 0 then
        forget_caller(s.owner) -- nothing is kept for it, whatever is counted: somebody has deleted keys
    end
    local limit = over_kept(now, s)
    local found = not limit and resolve_names(now, s.names, s.groups)
    limit = limit or over_quota(s, found)
    if limit then
        return { 'quota', limit }
    end
    if found.refused > 0 then
        found.bytes = found.bytes + BYTES_A_JOB
        tally('refused', found.refused)
        tally('failed:not-available', found.refused)
    end
    prune_jobs(s.owner)
    local match = is_message_id_reused(s) and '2' or '0' -- jobs_match_e
    store_job(now, s, found)
    call('HSET', key('job', s.id), 'scope', scope_of(s.grants))
    local denied = not s.groups['*'] and note_denied(now, s) or nil -- to '*' nothing is denied
    tally('jobs')
    if found.count == 0 then
        complete_if_done(now, s.id)
    else
        queue_lines(now, s, found)
    end
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

-- ---- enumerations in progress ----------------------------------------------------------------------------------

local ITEMS_MOST = 4 * LISTED_A_CALL -- a job has up to three instances
local MOST_ITEMS = 200000 -- of all callers; where others have used them up, a caller still has one enumeration

function verbs.context_open(now, read)
    local owner, id = read.take(2)
    local seconds = read.number()
    local limit, max_names = read.limits()
    local fields = read.take(1)
    local index = key('contexts', owner)
    call('ZREMRANGEBYSCORE', index, '-inf', text(now))
    if call('EXISTS', key('context', id)) == 1 then
        return call('HGET', key('context', id), 'owner') == owner and { 'ok', id } or { 'refused', 'taken' }
    end
    local opened = call('ZCARD', index)
    if limit > 0 and opened >= limit then
        return { 'quota', 'contexts' }
    end
    local hash = { 'owner', owner, 'fields', fields, 'next', '0' }
    local items = 0
    while read.more() and items < ITEMS_MOST do
        hash[#hash + 1] = text(items)
        hash[#hash + 1] = take_text(read, ID_MOST)
        items = items + 1
    end
    give_back_expired(now, GIVEN_BACK_A_CALL)
    if max_names > 0 and number(call('HGET', key('caller', owner), 'names')) + items > max_names then
        return { 'quota', 'names' }
    elseif opened > 0 and number(call('HGET', TOTALS, 'items')) + items > MOST_ITEMS then
        return { 'quota', 'items' }
    end
    write_many('HSET', key('context', id), hash)
    call('HSET', key('context', id), 'items', items)
    call('EXPIRE', key('context', id), text(seconds))
    call('ZADD', KEPT, text(now + seconds * 1000000), charge_of('c', id, owner, items, 0))
    count_charge('c', owner, items, 0, 1)
    call('ZADD', index, text(now + seconds * 1000000), id)
    call('EXPIRE', index, text(seconds), 'GT')
    if call('TTL', index) < 0 then
        call('EXPIRE', index, text(seconds))
    end
    return { 'ok', id }
end

local function end_context(owner, id, items)
    call('UNLINK', key('context', id))
    call('ZREM', key('contexts', owner), id)
    give_back(charge_of('c', id, owner, items, 0))
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
        end_context(owner, id, text(items))
    else
        call('HSET', hash, 'next', text(after))
    end
    return { 'ok', fields, after < items and '1' or '0', pulled }
end

function verbs.context_release(_, read)
    local owner, id = read.take(2)
    local mine, items = unpack(call('HMGET', key('context', id), 'owner', 'items'))
    if mine ~= owner then
        return { 'none' }
    end
    end_context(owner, id, items or 0)
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
