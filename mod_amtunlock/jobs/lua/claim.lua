-- SPDX-License-Identifier: Apache-2.0
-- Claims. Part of the library that core.lua begins.
do -- names of its own: Lua allows 200 in one block

local LOOKS_A_CALL = 1000 -- at owners and lines, about; the next claim looks on from there

local function interval_of(claim, group)
    return claim.intervals[group] or claim.intervals['*'] or 0
end

local function may_claim(now, claim, group)
    local interval = interval_of(claim, group)
    return interval == 0 or next_time(now, 'claim:' .. group, RATE_AHEAD + interval) <= now + RATE_AHEAD
end

local function note_claim(now, claim)
    local interval = interval_of(claim, claim.group)
    if interval > 0 then
        take_time(now, 'claim:' .. claim.group, interval, RATE_AHEAD + interval)
    end
end

-- A field of a job for a worker, which judges it. httpd's user writes it, and could write a megabyte for each of the
-- tasks of a claim.
local function cut(value)
    return (value or ''):sub(1, 2 * CALLER_MOST)
end

-- What a claim needs of a job, read once for all of its tasks.
local function job_of(claim, id)
    if not claim.jobs[id] then
        local start_by, caller, peer, mechanism = unpack(call('HMGET', key('job', id), 'start_by', 'caller', 'peer',
            'mechanism'))
        claim.jobs[id] = { start_by = number(start_by), origin = { cut(caller), cut(peer), cut(mechanism) } }
    end
    return claim.jobs[id]
end

local function start_once(now, claim, id)
    local job = job_of(claim, id)
    if not job.is_started then
        start_job(now, id)
        job.is_started = true
    end
end

-- Gives the system and its lease to a task of this worker, and adds the task to the claim's answer.
local function acquire(now, id, system, task, claim, state)
    task.fence, task.worker = next_fence(now), claim.worker
    call('HSET', key('system', system), 'job', id, 'fence', task.fence, 'worker', claim.worker)
    call('ZADD', key('leases'), text(now + claim.lease), system)
    start_once(now, claim, id)
    move_task(now, id, system, task, state)
    local over = state == 'K'
    local intent, marks = over and call('HGET', key('system', system), 'intent') or '', over and marks_of(system) or ''
    local caller, peer, mechanism = unpack(job_of(claim, id).origin)
    claim.tasks[#claim.tasks + 1] = { id, system, task.fence, over and '1' or '0', intent, caller, peer, mechanism,
        marks }
end

-- Microseconds for which no unlock of this PC begins; nil: one may. A longer time than was ever given comes from a
-- clock that was set back: then the cooldown begins again.
local function cooldown_left(system)
    local left = call('PTTL', key('cool', system))
    if left > COOLDOWN_MS then
        call('PEXPIRE', key('cool', system), COOLDOWN_MS)
        left = COOLDOWN_MS
    end
    return left >= 0 and left * 1000 or nil
end

-- Claims, joins, delays or ends one entry of a queue; skips a stale one.
local function take_queued(now, claim, id, system)
    local task = #id <= ID_MOST and read_task(id, system)
    if not task or task.state ~= 'Q' then
        return
    end
    local breaker, cooldown = breaker_reason(now, system), cooldown_left(system)
    if job_of(claim, id).start_by < now then
        end_task(now, id, system, task, 'F', 'timeout', '')
    elseif call('HEXISTS', claim.inventory, 's:' .. system) == 0 then
        end_task(now, id, system, task, 'F', 'not-available', '')
    elseif not scope_holds(claim, id, system) then
        end_task(now, id, system, task, 'F', 'not-available', '')
        tally('revoked')
    elseif call('EXISTS', key('system', system)) == 1 then
        join_holder(now, id, system)
        start_once(now, claim, id)
        move_task(now, id, system, task, 'J')
        tally('joined')
    elseif cooldown then
        call('ZADD', key('retry'), text(now + cooldown), id .. '|' .. system)
    elseif breaker then
        end_task(now, id, system, task, 'F', breaker, STEP_LEFT_ALONE)
        tally('left_alone')
    else
        note_claim(now, claim)
        acquire(now, id, system, task, claim, 'C')
    end
end

local function take_verify(now, claim, id, system)
    local task = read_task(id, system)
    if not task or task.state ~= 'L' then
        return
    end
    if number(task.deadline) < now or call('HEXISTS', claim.inventory, 's:' .. system) == 0 then
        finish_system(now, id, system, task, 'F', 'indeterminate', task.step)
    else
        acquire(now, id, system, task, claim, 'K')
    end
end

local REQUEUED_A_CALL = 20

local function requeue_between(least, most)
    for _, entry in ipairs(call('ZRANGEBYSCORE', key('retry'), least, most, 'LIMIT', 0, REQUEUED_A_CALL)) do
        local id, system = entry:match('^([^|]*)|(.*)$')
        local owner = call('HGET', key('job', id), 'owner')
        call('ZREM', key('retry'), entry)
        if owner then
            put_back(owner, id, system)
        end
    end
end

-- Nothing is delayed for longer than a cooldown: an entry that would wait longer is from before the clock was set back.
local function requeue_due(now)
    requeue_between('-inf', text(now))
    requeue_between('(' .. text(now + COOLDOWN_MS * 1000), '+inf')
end

-- The caller's next line whose group's rate limit lets it go on now, and the group; nil: there is none. What has been
-- found to wait is not looked at again in this claim: a caller may have thousands of lines.
local function open_line(now, claim, owner)
    local at = claim.waiting_lines[owner] or claim.first_line
    claim.first_line = 0
    while claim.looks > 0 do
        local line = call('ZRANGE', key('turns', owner), at, at)[1]
        local group = line and line:match(':(.*)$')
        claim.looks = claim.looks - 1
        if line and not group then
            call('ZREM', key('turns', owner), line) -- no line of this library
        elseif not line or may_claim(now, claim, group) then
            claim.waiting_lines[owner] = at
            return line, group
        else
            at = at + 1
        end
    end
    claim.stopped_at = at
    return nil
end

-- Where the last claim stopped to look, having found only what waits: "OWNERS|LINES|when". It may be none of these any
-- more, so that is believed for a moment only.
local LOOKED = 'looked'
local LOOKS_ON_FOR = 1000000

local function look_on(now, claim)
    local owners, lines, at = (call('HGET', RATE_LIMITS, LOOKED) or ''):match('^(%d+)|(%d+)|(%d+)$')
    claim.looked_before = number(at) > 0
    if number(at) > now - LOOKS_ON_FOR and number(at) <= now then
        claim.waiting_owners, claim.first_line = number(owners), number(lines)
    end
end

local function note_looks(now, claim, stopped)
    if stopped then
        call('HSET', RATE_LIMITS, LOOKED, table.concat({ claim.waiting_owners, claim.stopped_at, text(now) }, '|'))
    elseif claim.looked_before then
        call('HSET', RATE_LIMITS, LOOKED, '0|0|0')
    end
end

-- Takes the next entry of a line, and adds the cost of the turn to the line's and the caller's score. An empty line is
-- removed.
local function take_turn(owner, line)
    local system = call('LPOP', key('queue', line))
    local left = call('LLEN', key('queue', line))
    if left > 0 then
        call('ZINCRBY', key('turns', owner), turn_cost(left), line)
    else
        call('ZREM', key('turns', owner), line)
    end
    if call('EXISTS', key('turns', owner)) == 1 then
        local waiting = number(call('HGET', key('caller', owner), 'waiting'))
        call('ZINCRBY', ROUND_ROBIN, turn_cost(waiting), owner)
    else
        call('ZREM', ROUND_ROBIN, owner)
    end
    return system
end

-- The job and the system whose turn it is; nil: none waits that may go on now.
local function next_queued(now, claim)
    while claim.looks > 0 do
        local owner = call('ZRANGE', ROUND_ROBIN, claim.waiting_owners, claim.waiting_owners)[1]
        if not owner then
            return nil
        end
        local line, group = open_line(now, claim, owner)
        if not line and claim.looks <= 0 then
            return nil
        end
        local system = line and take_turn(owner, line)
        claim.looks = claim.looks - (line and not system and 6 or 3) -- calls of Redis, about
        if system then
            claim.group = group
            return line:match('^([^:]*)'), system
        elseif not line and call('EXISTS', key('turns', owner)) == 0 then
            call('ZREM', ROUND_ROBIN, owner)
        elseif not line then
            claim.waiting_owners = claim.waiting_owners + 1
        end
    end
    return nil
end

local function next_verify()
    local entry = call('LPOP', VERIFY_QUEUE)
    if entry then
        return entry:match('^([^|]*)|(.*)$')
    end
    return nil
end

local function read_claim(read)
    local claim = { tasks = {}, jobs = {}, scopes = {}, intervals = {}, waiting_lines = {}, waiting_owners = 0,
        first_line = 0, stopped_at = 0, looks = LOOKS_A_CALL }
    claim.worker, claim.digest = read.take(2)
    claim.max, claim.not_after = math.min(read.number(), CLAIMED_A_CALL), read.number()
    claim.lease = read.number()
    while read.more() do
        local group = read.take(1)
        claim.intervals[group] = read.number()
    end
    return claim
end

-- Takes the next entry. False: none waits that may go on now.
local function take_next(now, claim)
    local take = take_verify
    local id, system = next_verify()
    if not id then
        take = take_queued
        id, system = next_queued(now, claim)
    end
    if not id then
        return false
    end
    take(now, claim, id, system)
    return true
end

-- Workers that run share what waits: each takes half of its part at a time, and rings for the others. One that is alone
-- takes all.
local LEAST_SHARE = 4

local function share_of(now)
    local workers = #call('ZRANGEBYSCORE', key('workers'), text(now - HEARD_WITHIN), text(now), 'LIMIT', 0, VALUES_A_CALL)
    if workers < 2 then
        return CLAIMED_A_CALL
    end
    return math.max(math.ceil((all_waiting() + call('LLEN', VERIFY_QUEUE)) / (2 * workers)), LEAST_SHARE)
end

local ENTRIES_MORE, ENTRIES_BEHIND = 10, 4

function verbs.claim(now, read)
    local claim = read_claim(read)
    if is_late(now, claim.not_after) then
        return { 'late' }
    end
    local generation, live = unpack(call('HMGET', key('inventory'), 'generation', 'digest'))
    if live ~= claim.digest then
        return { 'refused', 'inventory' }
    end
    claim.inventory = key('inventory', generation)
    claim.max = math.min(claim.max, share_of(now))
    note_serving(now, claim.lease, claim.worker)
    requeue_due(now)
    local is_behind = queue_next(now, CHANGES_A_CALL) or tell_next(now)
    look_on(now, claim)
    -- Entries are bounded, not only claimed tasks: stale and joined ones take time too.
    local entries, goes_on = is_behind and ENTRIES_BEHIND or claim.max + ENTRIES_MORE, true
    while goes_on and entries > 0 and #claim.tasks < claim.max do
        goes_on = take_next(now, claim)
        entries = entries - 1
    end
    local stopped = not goes_on and claim.looks <= 0
    note_looks(now, claim, stopped)
    local more = stopped or goes_on and call('EXISTS', VERIFY_QUEUE, ROUND_ROBIN) > 0
        or is_behind and call('EXISTS', PARTS, TOLD_LATER) > 0
    if more then
        wake_workers()
    end
    return { 'ok', more and '1' or '0', claim.tasks }
end

end
