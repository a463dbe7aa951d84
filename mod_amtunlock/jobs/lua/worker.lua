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
