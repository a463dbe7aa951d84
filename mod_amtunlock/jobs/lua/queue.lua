-- SPDX-License-Identifier: Apache-2.0
-- Who waits, and for what. Part of the library that core.lua begins.

-- ---- queues ----------------------------------------------------------------------------------------------------

-- The waiting systems of one job and one group are a line, so that a group's rate limit delays no other group. Turns
-- go round robin between callers, and between the lines of one caller. A turn costs more the more systems wait, so
-- that 20 systems do not wait behind 10,000 of the same or another caller. A score is the cost of a member's turns so
-- far; the lowest is next.

-- A new member begins right behind the next one: joining again and again keeps no other waiting.
local function join_turns(at, member)
    local least = call('ZRANGE', at, 0, 0, 'WITHSCORES')[2]
    call('ZADD', at, 'NX', text(number(least) + 1), member)
end

local function join_queue(owner, line)
    join_turns(key('turns', owner), line)
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
    local line = id .. ':' .. group_of(system)
    call('LPUSH', key('queue', line), system)
    join_queue(owner, line)
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
