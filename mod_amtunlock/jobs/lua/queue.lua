-- SPDX-License-Identifier: Apache-2.0
-- Who waits, and for what. Part of the library that core.lua begins.

-- ---- queues ----------------------------------------------------------------------------------------------------

-- The waiting systems of one job and one group are a line, so that a group's rate limit delays no other group. Turns
-- go round robin between callers, and between the lines of one caller. A turn costs more the more systems wait, so
-- that 20 systems do not wait behind 10,000 of the same or another caller. A score is the cost of a member's turns so
-- far; the lowest is next.

-- New members begin right behind the next one: joining again and again keeps no other waiting.
local function join_turns(at, ...)
    local score = text(number(call('ZRANGE', at, 0, 0, 'WITHSCORES')[2]) + 1)
    local scored = {}
    for i, member in ipairs({ ... }) do
        scored[2 * i - 1], scored[2 * i] = score, member
    end
    call('ZADD', at, 'NX', unpack(scored))
end

local function join_queue(owner, lines)
    for first = 1, #lines, SLICE do
        join_turns(key('turns', owner), unpack(lines, first, math.min(first + SLICE - 1, #lines)))
    end
    join_turns(ROUND_ROBIN, owner)
end

-- 2 for up to 9 waiting systems, 4 for up to 99, ...: always more than joining costs.
local function turn_cost(waiting)
    return 2 + 2 * math.floor(math.log10(math.max(waiting, 1)))
end

local function group_of(system)
    local generation = call('HGET', key('inventory'), 'generation') or ''
    local line = call('HGET', key('inventory', generation), 's:' .. system)
    return line and line:match('^([^|]*)') or ''
end

-- Puts a system at the head of its line.
local function put_back(owner, id, system)
    local group = group_of(system)
    local line = id .. ':' .. group
    if call('LPUSH', key('queue', line), system) == 1 then
        note_lines(id, { group })
    end
    join_queue(owner, { line })
end

-- Systems of a job, by group: a list of { group = GROUP, SYSTEM, ... }, at the end of its lines.
local function queue_systems(owner, id, by_group)
    local lines, new = {}, {}
    for i, systems in ipairs(by_group) do
        lines[i] = id .. ':' .. systems.group
        if call('RPUSH', key('queue', lines[i]), unpack(systems)) == #systems then
            new[#new + 1] = systems.group
        end
    end
    note_lines(id, new)
    join_queue(owner, lines)
end

-- A job that came in parts has its systems queued by claims, some positions at a time: these jobs, in their order. Its
-- field `queued` says how far they are.
local PARTS = '{amtu}:queue:parts'

local function by_group(systems, packed, lines)
    local found, of_group, seen = {}, {}, {}
    for i, system in ipairs(systems) do
        if packed[i] and packed[i]:sub(1, 1) == 'Q' and not seen[system] then
            local group = lines[i] and lines[i]:match('^([^|]*)') or ''
            seen[system] = true
            if not of_group[group] then
                of_group[group] = { group = group }
                found[#found + 1] = of_group[group]
            end
            table.insert(of_group[group], system)
        end
    end
    return found
end

local function queue_positions(id, owner, first, last)
    local systems, fields = systems_at(id, first, last), {}
    for i, system in ipairs(systems) do
        fields[i] = 's:' .. system
    end
    local generation = call('HGET', key('inventory'), 'generation') or ''
    local found = by_group(systems, read_many(key('job', id, 'tasks'), systems),
        read_many(key('inventory', generation), fields))
    if #found > 0 then
        queue_systems(owner, id, found)
    end
end

-- One step of a job; how many positions it was.
local function queue_some(now, id, most)
    local state, cancelled, start_by, owner, names, queued = unpack(call('HMGET', key('job', id), 'state', 'cancelled',
        'start_by', 'owner', 'names', 'queued'))
    local total = state and not has_ended(state) and cancelled ~= '1' and number(start_by) >= now and
        count_positions(id, names) or 0
    local first = number(queued)
    local after = math.min(total, first + most)
    if after > first then
        queue_positions(id, owner or '', first, after - 1)
        call('HSET', key('job', id), 'queued', text(after))
    end
    if after >= total then
        call('LPOP', PARTS)
    end
    return math.max(after - first, 0)
end

-- So many positions at most, of the jobs that come first. True: there were some.
local function queue_next(now, most)
    local left = most
    while left > LOOKED_AT do
        local id = call('LRANGE', PARTS, 0, 0)[1]
        if not id then
            break
        end
        left = left - LOOKED_AT - queue_some(now, id:sub(1, ID_MOST), left)
    end
    return left < most
end

-- The job may be past its latest start; claim and reap check that.
local function requeue(now, id, system, task)
    local owner, start_by = unpack(call('HMGET', key('job', id), 'owner', 'start_by'))
    move_task(now, id, system, task, 'Q')
    put_back(owner or '', id, system)
    call('ZADD', key('deadlines'), text(number(start_by)), id)
    wake_workers()
end

-- ---- rate limits -----------------------------------------------------------------------------------------------

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

-- ---- the breaker -----------------------------------------------------------------------------------------------

-- A PC that fails for the same reason several times in a row is left alone for a minute: another try would only take
-- time, and firmware locks an account that is refused too often. Tasks that are claimed meanwhile end with the reason
-- of the last failure, at step left-alone. The first task after that decides how it goes on.
local BREAKING_FAILURES = { ['unreachable'] = 3, ['tls-untrusted'] = 3, ['auth-failed'] = 2, ['amt-fault'] = 3,
    ['timeout'] = 3 }
local LEFT_ALONE = 60 * 1000000
local FAILURES_KEPT_S = 1800
local STEP_LEFT_ALONE = 'left-alone' -- JOBS_STEP_LEFT_ALONE of reason.h

local function note_result(now, system, state, reason)
    local breaker = key('breaker', system)
    if state == 'U' then
        call('DEL', breaker)
    end
    local most = state == 'F' and BREAKING_FAILURES[reason]
    if most then
        if call('HGET', breaker, 'reason') ~= reason then
            call('DEL', breaker) -- another reason: something changed at the PC
        end
        local failures = call('HINCRBY', breaker, 'failures', 1)
        call('HSET', breaker, 'reason', reason, 'until', failures >= most and text(now + LEFT_ALONE) or '0')
        call('EXPIRE', breaker, FAILURES_KEPT_S)
    end
end

-- The reason of the last failure if the system is left alone now, else nil.
local function breaker_reason(now, system)
    local till, reason = unpack(call('HMGET', key('breaker', system), 'until', 'reason'))
    return number(till) > now and number(till) <= now + LEFT_ALONE and reason or nil
end
