-- SPDX-License-Identifier: Apache-2.0
-- The workers' verbs. Part of the library that core.lua begins.
do -- its names are its own: Lua allows 200 in one block

-- ---- claim -----------------------------------------------------------------------------------------------------

local function start_job(now, id)
    if call('HGET', key('job', id), 'state') == NEW then
        call('HSET', key('job', id), 'state', RUNNING, 'started', text(now))
    end
end

-- A group's rate limit is an interval from one system to the next, over all workers. It applies twice: claims take
-- their times a little ahead, so that a system that must wait occupies no slot of a worker; and each power request
-- takes its time right before it is sent, since some PCs take longer than others to get there.
local RATE_AHEAD = 2 * 1000000
local RATE_MOST = 3600 * 1000000

-- When the next one may be. It is kept with the time at which it was taken: if that is in the future, Redis' clock was
-- set back since, and the next time moves with it, once. A time more than `most` ahead is ignored.
local function next_time(now, limit, most)
    local at, taken = (call('HGET', RATE_LIMITS, limit) or ''):match('^(%d+)|?(%d*)$')
    at, taken = number(at), number(taken)
    if taken > now then
        at = at - (taken - now)
        call('HSET', RATE_LIMITS, limit, text(math.max(at, 0)) .. '|' .. text(now))
    end
    return at <= now + most and math.max(at, now) or now
end

local function take_time(now, limit, interval, most)
    local at = next_time(now, limit, most)
    call('HSET', RATE_LIMITS, limit, text(at + interval) .. '|' .. text(now))
    return at
end

local LOOKS_A_CALL = 20000 -- at owners and lines, which bounds a claim that finds none that may go on

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

-- Gives the system and its lease to a task of this worker, and adds the task to the claim's answer.
local function acquire(now, id, system, task, claim, state)
    task.fence, task.worker = next_fence(now), claim.worker
    call('HSET', key('system', system), 'job', id, 'fence', task.fence, 'worker', claim.worker)
    call('ZADD', key('leases'), text(now + claim.lease), system)
    start_job(now, id)
    move_task(now, id, system, task, state)
    local over = state == 'K'
    local intent, marks = over and call('HGET', key('system', system), 'intent') or '', over and marks_of(system) or ''
    local caller, peer, mechanism = unpack(call('HMGET', key('job', id), 'caller', 'peer', 'mechanism'))
    claim.tasks[#claim.tasks + 1] = { id, system, task.fence, over and '1' or '0', intent, cut(caller), cut(peer),
        cut(mechanism), marks }
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
    if number(call('HGET', key('job', id), 'start_by')) < now then
        end_task(now, id, system, task, 'F', 'timeout', '')
    elseif call('HEXISTS', claim.inventory, 's:' .. system) == 0 then
        end_task(now, id, system, task, 'F', 'not-available', '')
    elseif not scope_holds(claim, id, system) then
        end_task(now, id, system, task, 'F', 'not-available', '')
        tally('revoked')
    elseif call('EXISTS', key('system', system)) == 1 then
        call('ZADD', key('system', system, 'waiters'), 'NX', text(now), id)
        start_job(now, id)
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

local function requeue_between(least, most)
    for _, entry in ipairs(call('ZRANGEBYSCORE', key('retry'), least, most, 'LIMIT', 0, 100)) do
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
    local at = claim.waiting_lines[owner] or 0
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
    return nil
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
    local claim = { tasks = {}, scopes = {}, intervals = {}, waiting_lines = {}, waiting_owners = 0,
        looks = LOOKS_A_CALL }
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
    note_serving(now, claim.lease, claim.worker)
    requeue_due(now)
    -- Entries are bounded, not only claimed tasks: stale and joined ones take time too.
    local entries, goes_on = 4 * claim.max + 100, true
    while goes_on and entries > 0 and #claim.tasks < claim.max do
        goes_on = take_next(now, claim)
        entries = entries - 1
    end
    local more = goes_on and call('EXISTS', VERIFY_QUEUE, ROUND_ROBIN) > 0
    if more then
        wake_workers()
    end
    return { 'ok', more and '1' or '0', claim.tasks }
end

-- ---- what a worker holds ---------------------------------------------------------------------------------------

-- A worker renews the systems that it names. One that it has not named for the time of a lease it does not know of,
-- because the answer to its claim was lost: that lease expires.
local function expire_unnamed(now, worker)
    for _, system in ipairs(call('ZRANGEBYSCORE', key('leases'), '-inf', text(now))) do
        if call('HGET', key('system', system), 'worker') == worker then
            expire_lease(now, system)
        end
    end
end

function verbs.renew(now, read)
    local worker, about, last = read.take(3)
    local lease = read.number()
    local lost, kept = {}, {}
    while read.more() do
        local id, system, fence = read.take(3)
        local task = held_task(id, system, worker, fence)
        local goes_on = task and (task.state == 'C' or INTENDED[task.state])
        if task and not goes_on then -- cancelled
            hand_back(now, id, system, task)
        elseif task and task.state == 'K' and number(task.deadline) < now then
            finish_system(now, id, system, task, 'F', 'indeterminate', task.step)
            goes_on = false
        end
        if goes_on then
            kept[#kept + 1] = text(now + lease)
            kept[#kept + 1] = system
        else
            lost[#lost + 1] = { id, system, fence }
        end
    end
    write_many('ZADD', key('leases'), kept)
    if last == '1' then
        expire_unnamed(now, worker)
    end
    if last == '1' or #kept + #lost == 0 then -- nothing named and not the last: a heartbeat alone
        call('SET', key('worker', worker), about, 'PX', text(math.ceil(lease / 2000)))
        call('ZADD', key('workers'), text(now), worker)
        call('ZREMRANGEBYSCORE', key('workers'), '-inf', text(now - 2 * lease))
    end
    return { 'ok', lost }
end

-- Frees a system whose task was cancelled after its claim, for tasks that joined; a web verb may not free it.
local function free_cancelled(now, id, system, task)
    if task and task.state == 'X' then
        hand_back(now, id, system, task)
    end
end

local function refuse(id, system)
    local task = read_task(id, system)
    return { 'refused', task and 'the task is ' .. task.state .. ', fence ' .. task.fence:sub(1, 20) or 'no such task' }
end

-- The other system as which this device is being unlocked: two lines of the inventory may name one device. A UUID is what
-- a device says, so one that shows another key in TLS is another device; where one of the two has no TLS, only the UUID
-- can be compared.
local function device_holder(device, system)
    local uuid = uuid_of(device)
    for _, each in ipairs({ device, uuid }) do
        local other = each ~= '' and call('GET', key('device', each))
        local held = other and other ~= system and call('HGET', key('system', other), 'device')
        if held and (held == device or held == uuid or device == uuid and uuid_of(held) == uuid) then
            return other
        end
    end
    return nil
end

local function hold_device(device, system)
    for _, each in ipairs({ device, uuid_of(device) }) do
        if each ~= '' then
            call('SET', key('device', each), system)
        end
    end
end

-- Why its holder may not go on with a task, as the answer; nil: it may. `allows`: the task is at the right place for it.
local function holder_refused(now, id, system, task, allows)
    if not allows then
        free_cancelled(now, id, system, task)
        return refuse(id, system)
    end
    return number(call('ZSCORE', key('leases'), system)) < now and { 'refused', 'the lease has ended' } or nil
end

-- A task that was taken over goes on for so many times the time that its first worker was given.
local GOES_ON_FOR = 4

-- Until when a task must have ended that is intended now, and since when it is intended.
local function deadline_of(now, system, deadline)
    local since = math.min(number(call('HGET', key('system', system), 'since') or now), now)
    return math.min(now + deadline, since + GOES_ON_FOR * deadline), since
end

-- A task has one intent at a time. Who takes it over writes another one before it acts, unless a passphrase has left, or
-- nobody knows what has.
local function may_intend(task, system)
    if task.state == 'C' then
        return task.intent_fence == ''
    end
    local marks = marks_of(system)
    return task.state == 'K' and marks ~= UNKNOWN and not marks:find('typed', 1, true)
end

function verbs.intend(now, read)
    local worker, id, system, fence, step = read.take(5)
    local not_after, deadline = read.number(), read.number()
    local device, intent = read.take(2)
    if is_late(now, not_after) then
        return { 'late' }
    end
    local task = held_task(id, system, worker, fence)
    if task and task.state == 'I' and task.intent_fence == fence then
        return { 'already' }
    end
    local refused = holder_refused(now, id, system, task, task and may_intend(task, system))
    if refused then
        return refused
    end
    local other = device_holder(device, system)
    if other then
        return { 'conflict', 'the same device is being unlocked as ' .. other }
    end
    local till, since = deadline_of(now, system, deadline)
    local marks = task.state == 'K' and marks_of(system) or ''
    task.intent_fence, task.step, task.deadline = fence, clean_step(step), text(till)
    free_device(system) -- that of an intent before
    call('HSET', key('system', system), 'intent', intent, 'device', device, 'since', text(since), 'marks', marks)
    hold_device(device, system)
    move_task(now, id, system, task, 'I')
    return { 'ok' }
end

local ACTING = { I = true, P = true, B = true }

-- Notes what may be done to the PC from now on, and only once.
function verbs.mark(now, read)
    local worker, id, system, fence = read.take(5)
    if is_late(now, read.number()) then
        return { 'late' }
    end
    local mark = read.take(1)
    local task = held_task(id, system, worker, fence)
    local allows = task and ACTING[task.state] and task.intent_fence == fence and MARKS[mark]
    return holder_refused(now, id, system, task, allows) or { add_marks(system, mark) and 'ok' or 'already' }
end

local BEFORE = { P = { I = true, P = true }, B = { I = true, P = true, B = true } }

function verbs.progress(now, read)
    local worker, id, system, fence, step, state = read.take(6)
    local task = held_task(id, system, worker, fence)
    if not task or not (BEFORE[state] and BEFORE[state][task.state]) then
        return refuse(id, system)
    end
    step = clean_step(step)
    if task.state == state and task.step == step then
        return { 'already' }
    end
    task.step = step
    move_task(now, id, system, task, state)
    return { 'ok' }
end

-- Takes the next time at which a PC of the group may be powered; the task has its intent by then.
function verbs.power_rate(now, read)
    local worker, id, system, fence = read.take(4)
    local group = select(2, read.take(2))
    local interval = read.number()
    local task = held_task(id, system, worker, fence)
    if not task or task.state ~= 'I' then
        return refuse(id, system)
    end
    return { 'ok', text(take_time(now, 'power:' .. group, interval, RATE_MOST) - now) }
end

function verbs.finish(now, read)
    local worker, id, system, fence, step, state, reason = read.take(7)
    if state ~= 'U' and state ~= 'F' then
        error('a task ends U or F, not ' .. state)
    end
    local blameless = read.more() and read.take(1) == 'blameless' -- it failed, and not for a cause of this PC
    local task = held_task(id, system, worker, fence)
    if task and (task.state == 'C' or INTENDED[task.state]) then
        finish_system(now, id, system, task, state, reason, clean_step(step), blameless)
        return { 'ok' }
    end
    free_cancelled(now, id, system, task)
    task = read_task(id, system)
    if task and task.state == state and task.reason == reason and task.fence == fence and task.worker == worker then
        return { 'already' }
    end
    return refuse(id, system)
end

function verbs.release(now, read)
    local worker, id, system, fence, step = read.take(5)
    local task = held_task(id, system, worker, fence)
    if task then
        task.step = clean_step(step)
        hand_back(now, id, system, task)
        return { 'ok' }
    end
    task = read_task(id, system)
    if task and (task.state == 'Q' or task.state == 'L') and task.fence == fence and task.worker == worker then
        return { 'already' }
    end
    return refuse(id, system)
end

-- ---- what dead workers left ------------------------------------------------------------------------------------

local function end_stale_verifies(now)
    local count = 0
    for _, entry in ipairs(call('LRANGE', VERIFY_QUEUE, 0, REAPED_A_CALL - 1)) do
        local id, system = entry:match('^([^|]*)|(.*)$')
        local task = read_task(id, system)
        if task and task.state == 'L' and number(task.deadline) < now then
            finish_system(now, id, system, task, 'F', 'indeterminate', task.step)
            count = count + 1
        end
    end
    return count
end

-- New jobs are refused before Redis is full, so that there is room for what is under way and for a new inventory.
local SCARCE = 7 / 8 -- of maxmemory
local NOTED_AGAIN = 10 * 1000000

local function note_memory(now)
    local info = redis.pcall('INFO', 'memory')
    local info_text = type(info) == 'table' and (info.verbatim_string and info.verbatim_string.string or '') or info
    local used, most = info_text:match('used_memory:(%d+)'), info_text:match('maxmemory:(%d+)')
    local scarce = number(most) > 0 and number(used) > SCARCE * number(most)
    local noted = number(call('HGET', TOTALS, 'scarce'))
    if scarce and noted < now - NOTED_AGAIN then
        call('HSET', TOTALS, 'scarce', text(now))
    elseif not scarce and noted > 0 then
        call('HSET', TOTALS, 'scarce', '0')
    end
end

function verbs.reap(now, read)
    local _, lease, grace = read.take(1), read.number(), read.number()
    local over = call('ZRANGEBYSCORE', key('leases'), '-inf', text(now - grace), 'LIMIT', 0, REAPED_A_CALL)
    -- No lease is given for so long: Redis' clock was set back.
    local beyond = call('ZRANGEBYSCORE', key('leases'), '(' .. text(now + 2 * lease), '+inf', 'LIMIT', 0,
        REAPED_A_CALL)
    for _, system in ipairs(over) do
        expire_lease(now, system)
    end
    for _, system in ipairs(beyond) do
        expire_lease(now, system)
    end
    local reaped = #over + #beyond + end_stale_verifies(now) + end_all_overdue(now, 20)
    give_back_expired(now, REAPED_A_CALL)
    for _, owner in ipairs(call('ZRANGE', key('callers'), 0, 15)) do
        if call('EXISTS', key('jobs', owner)) == 0 then
            forget_caller(owner)
        end
    end
    bound_scopes()
    call('LLEN', WAKE_UPS) -- these two only to mend them
    call('ZRANGE', ROUND_ROBIN, 0, 0)
    note_memory(now)
    return { 'ok', text(reaped) }
end

-- Fences given from now on are newer than this one, which was given before Redis lost it.
local function raise_fence(fence)
    if number(call('GET', key('fence'))) < number(fence) then
        call('SET', key('fence'), fence)
    end
end

-- A later worker than the one whose intent is here had this one.
local function restore_later(now, id, system, task, old)
    free_device(system)
    call('HSET', key('system', system), 'fence', old.fence, 'intent', old.intent, 'device', old.device)
    hold_device(old.device, system)
    raise_fence(old.fence)
    task.fence, task.intent_fence, task.step = old.fence, old.fence, clean_step(old.step)
    move_task(now, id, system, task, 'L')
end

-- The task has an intent here. Its holder may have been this worker before a restart; another one that does not know all
-- of the marks gives it up, and who takes it over next does.
local function restore_known(now, id, system, task, old)
    if call('HGET', key('system', system), 'job') ~= id then
        return { 'already' }
    end
    local news = not old.kept and add_marks(system, old.marks)
    local own = held_task(id, system, task.worker, old.fence)
    local gives_up = INTENDED[task.state] and (own and task.worker ~= old.worker or not own and news)
    if gives_up then
        hand_back(now, id, system, task)
    end
    local is_later = task.state == 'L' and not old.kept and number(old.fence) > number(task.intent_fence)
    if is_later then
        restore_later(now, id, system, task, old)
    end
    return { (gives_up or is_later) and 'ok' or 'already' }
end

-- It never reached this Redis. What this worker claimed before a restart waits again.
local function restore_nothing(now, id, system, task, old)
    if held_task(id, system, task.worker, old.fence) and task.worker ~= old.worker then
        hand_back(now, id, system, task)
    end
    return refuse(id, system)
end

-- Restores an intent that Redis had acknowledged and lost, and its marks, from a worker's memory or its audit record. A
-- task that is before its intent here goes to L, to be taken over as the marks say. KEPT: this Redis has run since the
-- worker reconciled it last, so that it lost nothing: what it does not have it never took, and nothing was done by it.
function verbs.restore_intent(now, read)
    local old, id, system = {}, nil, nil
    old.worker, id, system, old.fence, old.step = read.take(5)
    local deadline = read.number()
    old.device, old.intent, old.marks, old.kept = read.take(4)
    old.kept = old.kept == '1'
    local task = read_task(id, system)
    if not task then
        return { 'none' }
    end
    if task.intent_fence ~= '' then
        return restore_known(now, id, system, task, old)
    end
    if old.kept then
        return restore_nothing(now, id, system, task, old)
    end
    if task.state ~= 'Q' and task.state ~= 'C' and task.state ~= 'J' then
        return refuse(id, system)
    end
    task.fence, task.intent_fence, task.worker = old.fence, old.fence, old.worker
    task.step, task.deadline = clean_step(old.step), text(now + deadline)
    local holder = call('HGET', key('system', system), 'job')
    if holder and holder ~= id then -- another job's unlock is under way, which reports on the PC
        end_task(now, id, system, task, 'F', 'indeterminate', task.step)
        return { 'ok' }
    end
    call('HSET', key('system', system), 'job', id, 'fence', old.fence, 'worker', '', 'intent', old.intent, 'device',
        old.device, 'since', text(now), 'marks', '')
    add_marks(system, old.marks)
    call('ZREM', key('leases'), system)
    hold_device(old.device, system)
    raise_fence(old.fence)
    start_job(now, id)
    move_task(now, id, system, task, 'L')
    call('RPUSH', VERIFY_QUEUE, id .. '|' .. system)
    wake_workers()
    return { 'ok' }
end

-- Ends a task with a restored result. Its system may be held by another job's task.
local function finish_restored(now, id, system, task, state, reason, step)
    if call('HGET', key('system', system), 'job') == id then
        finish_system(now, id, system, task, state, reason, step)
    else
        call('ZREM', key('system', system, 'waiters'), id)
        end_task(now, id, system, task, state, reason, step)
    end
end

-- Restores a result in the same way: the task is never verified or powered again, and the tasks that joined it get the
-- result. A later holder that may have powered the PC (a newer fence and an intent) is not overruled.
function verbs.restore_result(now, read)
    local worker, id, system, fence, step, state, reason = read.take(7)
    if state ~= 'U' and state ~= 'F' then
        error('a task ends U or F, not ' .. state)
    end
    local task = read_task(id, system)
    if not task then
        return { 'none' }
    end
    if task.state == state and task.reason == reason then
        return { 'already' }
    end
    local is_final = STANDING[task.state] == 'unlocked' or STANDING[task.state] == 'failed'
    if is_final or (task.intent_fence ~= '' and number(task.fence) > number(fence)) then
        return refuse(id, system)
    end
    raise_fence(fence)
    start_job(now, id)
    task.intent_fence = task.intent_fence ~= '' and task.intent_fence or fence
    task.fence, task.worker = fence, worker
    finish_restored(now, id, system, task, state, reason, clean_step(step))
    return { 'ok' }
end

end
