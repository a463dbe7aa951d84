-- SPDX-License-Identifier: Apache-2.0
-- httpd's verbs. Part of the library that core.lua begins.

-- ---- listing, cancelling, forgetting ---------------------------------------------------------------------------

-- Ids and times of submission, the newest first, of the caller's jobs that were submitted until `till`. Who reads all
-- jobs names owners, and without any is given them, from position `till` on. Some a call: in front stands how many
-- owners are done, and from when on the next one's jobs are still to be listed.
function verbs.list(_, read)
    local owner, reads_all = read.take(2)
    local till, owners = read.more() and read.take(1) or '+inf', {}
    while reads_all == '1' and read.more() and #owners < VALUES_A_CALL do
        owners[#owners + 1] = read.take(1)
    end
    if reads_all == '1' and #owners == 0 then
        local first = number(till)
        return { 'ok', '0', text(first),
            unpack(call('ZREVRANGE', key('callers'), text(first), text(first + VALUES_A_CALL - 1))) }
    end
    owners = reads_all == '1' and owners or { owner }
    local answer, left = { 'ok', text(#owners), '+inf' }, VALUES_A_CALL
    for done, each in ipairs(owners) do
        local jobs = call('ZRANGE', key('jobs', each), till, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, left, 'WITHSCORES')
        for i = 1, #jobs, 2 do
            if call('EXISTS', key('job', jobs[i])) == 1 then
                answer[#answer + 1], answer[#answer + 2] = jobs[i], text(number(jobs[i + 1]))
            end
        end
        left, till = left - #jobs / 2 - 1, '+inf'
        if left < 0 then
            answer[2], answer[3] = text(done - 1), jobs[#jobs]
            break
        elseif left == 0 then
            answer[2] = text(done)
            break
        end
    end
    return answer
end

local function note_cancelled(now, job)
    call('HSET', key('job', job.id), 'cancelled', '1', 'swept', '0')
    if not job.overdue then -- what was in time until now does not end as overdue
        call('HSET', key('job', job.id), 'start_by', text(NEVER))
    end
    note_change(now, job.id)
    call('ZADD', key('deadlines'), text(now), job.id)
end

-- The job's word is what counts; its tasks are ended by this call and those behind it, which say 'go-on'.
function verbs.cancel(now, read)
    local owner, id = read.take(2)
    if is_late(now, read.number()) then
        return { 'late' }
    end
    local goes_on = read.more() and read.take(1) == 'go-on'
    local job = view_job(now, id)
    if not job or job.owner ~= owner then
        return { 'none' }
    end
    local ended = has_ended(job.state)
    if not goes_on and not ended and job.cancelled ~= '1' then
        note_cancelled(now, job)
    end
    local _, done = sweep_job(now, id, CHANGES_A_CALL)
    if ended and not goes_on then
        return { 'conflict', 'the job has ended' }
    end
    return { 'ok', not done and 'more' or nil }
end

function verbs.forget(now, read)
    local owner, id = read.take(2)
    local job = view_job(now, id)
    if not job or job.owner ~= owner then
        return { 'none' }
    elseif not has_ended(job.state) then
        return { 'conflict', 'the job has not ended' }
    end
    sweep_job(now, id, CHANGES_A_CALL)
    local state, message, names, bytes, scope =
        unpack(call('HMGET', key('job', id), 'state', 'message', 'names', 'bytes', 'scope'))
    message = message or ''
    if not has_ended(state) then -- by its word only
        return AGAIN
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
