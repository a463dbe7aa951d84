-- SPDX-License-Identifier: Apache-2.0
-- httpd's verbs. Part of the library that core.lua begins.

-- ---- listing, cancelling, forgetting ---------------------------------------------------------------------------

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
