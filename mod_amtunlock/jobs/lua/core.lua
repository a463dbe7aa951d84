#!lua name=amtunlock
-- SPDX-License-Identifier: Apache-2.0
--[[ The state of jobs, and every verb that changes or reads it; each verb is atomic.

The library is this file and those that library.S joins to it: job.lua, queue.lua, holder.lua and scope.lua, which all
verbs use; submit.lua, read.lua, web.lua and context.lua, httpd's verbs; inventory.lua, claim.lua, worker.lua, reap.lua
and restore.lua, the workers'; and verbs.lua, which registers them. A verb is called with one key, its own; its arguments
begin with the schema number of the calling program. Its answer is an array that begins with one word: ok, already,
refused, none, quota, conflict, again, late or outdated.

The keys, all in one hash slot. SYSTEM is the FQDN of a system's inventory line; OWNER is the SHA-256 of a caller's
name. Names of keys never change, so that data of an older schema is read on; some are older than the word for what
they hold, which stands in brackets.

    {amtu}:inventory                HASH  the live one: generation, digest, written, systems, published, by,
                                          host; silent: since when nobody was heard who serves it|last asked
    {amtu}:inventory:workers        ZSET  those that serve the live one, by when they first found it to be theirs
    {amtu}:inventory:GENERATION     HASH  s:SYSTEM -> group|method; n:NAME -> SYSTEM
    {amtu}:job:ID                   HASH  state, caller, owner, times, counts, changes, retention, ...
    {amtu}:job:ID:tasks             HASH  SYSTEM -> a packed task
    {amtu}:job:ID:names             HASH  position in the request -> SYSTEM|the caller's spelling, if that differs;
                                          !|NAME if refused; r:PART -> those of 1,000 positions, "position length name";
                                          l:0, l:1, ... -> groups that it has, or had, a line of
    {amtu}:job:ID:staged            HASH  of a request that comes in parts and is no job yet: counts, !NAME of those
                                          refused. It expires, and so do the tasks and names that are there already
    {amtu}:jobs, {amtu}:jobs:OWNER  ZSET  unfinished jobs; a caller's jobs; both by time of submission
    {amtu}:caller:OWNER             HASH  unfinished jobs, waiting systems; jobs, names and bytes of refused names that
                                          are kept: for the limits
    {amtu}:callers                  ZSET  owners by their latest submission
    {amtu}:totals                   HASH  of all callers: waiting, refused (bytes of refused names), unscoped (those of
                                          callers who may unlock nothing), items (of enumerations); scarce: when a
                                          worker last found that memory is short
    {amtu}:kept                     ZSET  what is kept of ended jobs, and enumerations, by their end: charge_of()
    {amtu}:queue:ID:GROUP           LIST  a line: systems of one job and group that wait. A task's state decides; an
                                          entry whose task is not in state Q is skipped
    {amtu}:queue:parts              LIST  jobs that came in parts, whose systems claims queue, some a call
    {amtu}:turns:OWNER              ZSET  a caller's lines (ID:GROUP) by the cost of their turns so far
    {amtu}:ring                     ZSET  [round robin] owners that have a line, by the cost of their turns so far
    {amtu}:ramp                     HASH  [rate limits] claim:GROUP, power:GROUP -> next time|when that was taken; looked ->
                                          where the last claim stopped to look, owners|lines|when
    {amtu}:breaker:SYSTEM           HASH  failures in a row, reason of the last, until: left alone until then
    {amtu}:retry                    ZSET  ID|SYSTEM by the time before which it may not be claimed
    {amtu}:looks                    LIST  [verify queue] ID|SYSTEM of tasks in state L
    {amtu}:deadlines                ZSET  jobs with waiting tasks, by their latest start, and those that are cancelled and
                                          whose tasks are still to be ended
    {amtu}:system:SYSTEM            HASH  the holder, which unlocks it now: job, fence, worker, intent, device; since: of the
                                          first intent; marks: what may have been done since, in the order that it was
    {amtu}:system:SYSTEM:waiters:W  ZSET  jobs whose tasks joined the holder, by when they did; W stands in the holder's
                                          field `waiters`, where it is none of an older library
    {amtu}:system::told             LIST  what is still to be told to those that joined, of a holder that is no more:
                                          key of these, SYSTEM, state, reason, step, a line each
    {amtu}:device:UUID/KEY          STRING  the system whose unlock really reached this device, which showed that key in
                                          TLS; {amtu}:device:UUID is the same without TLS, and of the latest with it
    {amtu}:leases                   ZSET  systems by the end of their lease
    {amtu}:fence                    STRING  the last fence given
    {amtu}:cool:SYSTEM              STRING  [cooldown] no new unlock until it expires
    {amtu}:message:OWNER:MESSAGE    STRING  the job of a message id and a set of names: two digests, UUID/NAMES
    {amtu}:message:OWNER:UUID       STRING  the latest job of that message id, whatever its names
    {amtu}:context:ID               HASH  an enumeration in progress, or (without owner) its first items;
                                          {amtu}:contexts:OWNER, ZSET by expiry
    {amtu}:scopes                   HASH  an httpd -> when it read its configuration, digests of its AMTUnlockScope
    {amtu}:denied                   LIST  names that callers asked for beyond their scope, for the record of a worker
    {amtu}:worker:ID                STRING  heartbeat; {amtu}:workers, ZSET by the last one
    {amtu}:worker:seal:RECORD       STRING  head of a worker's audit record, for a year; no verb reads it
    {amtu}:bell                     LIST  [wake-ups] each entry wakes a worker
    {amtu}:counters                 HASH  totals
    {amtu}:verb:NAME                nothing: the key that a function is called with, so that an ACL can name it

A task is one system of one job:

    Q queued -> C claimed -> I intent -> P powered -> B booting -> U unlocked | F failed      X cancelled
    J joined: another job's task unlocks this system now, and its result will be this task's too
    L to be taken over -> K taken over: an earlier worker had an intent. The marks say what it may have done: power, the
                         power request; typed, a passphrase or its seal. None: K -> I begins anew. Only power: K -> I
                         goes on from there. With typed, or where no marks are known: read and report, never act

{amtu}:system:SYSTEM says which task holds a system, and so its lease; only workers may write it. Web verbs therefore
never free a system: cancelling a claimed task ends the task at once, and the system is freed when the task's worker
renews or releases it, or is found dead.

Numbers of microseconds are doubles here (exact until the year 2255). text() makes text of them, never Lua's own
conversion, which keeps 14 digits; fences are only compared as text. ]]

local SCHEMA = '7' -- raise with every change to the library; JOBS_SCHEMA in library_priv.h follows
-- Names, tasks, lines or items that one call looks at, so that no call holds Redis for longer than two milliseconds:
-- JOBS_VALUES_A_CALL of jobs.h. What has more of them takes several calls, each of which leaves everything right.
local VALUES_A_CALL = 500
local CHANGES_A_CALL = 250 -- the same, where each is written
local SLICE = 1000 -- values of one command; unpack() fails beyond 8,000
local MOST_WAKE_UPS = 64
local COOLDOWN_MS = 60000
local NEVER = 9e15 -- a time; texts of scores have 17 digits at most
local POSITIONS_A_PART = 1000
local RETENTION_MOST_MS = 31 * 86400000
local NAMES_MOST = 100000 -- of a request (AMTUnlockMaxSystems)
local ID_MOST, CALLER_MOST = 64, 1024 -- bytes of a job's id, a peer or a mechanism; of a caller's name
local STAGED_S = 600 -- how long an inventory stays that is being published
local RETIRED_S = 60 -- how long the previous inventory stays
-- A worker that was not heard for so long is not running. One that is has a heartbeat every three seconds.
local HEARD_WITHIN = 9 * 1000000
-- So many a call, of what takes some twenty commands of Redis each.
local REAPED_A_CALL = 20
local GIVEN_BACK_A_CALL = 40
local CLAIMED_A_CALL = 16
local JOINED_A_CALL = 20

-- What is expired or overdue counts until a step has worked it off: a caller over its limit is told to ask again while
-- there are steps left.
local AGAIN = { 'again', 'Redis is still working off what has ended; ask again' }

-- Keys whose spelling is older than their word.
local VERIFY_QUEUE, ROUND_ROBIN, RATE_LIMITS, WAKE_UPS = '{amtu}:looks', '{amtu}:ring', '{amtu}:ramp', '{amtu}:bell'

local TOTALS, KEPT = '{amtu}:totals', '{amtu}:kept'

local STANDING = {
    Q = 'waiting', C = 'running', I = 'running', P = 'running', B = 'running', J = 'running', L = 'running',
    K = 'running', U = 'unlocked', F = 'failed', X = 'failed',
}
local INTENDED = { I = true, P = true, B = true, K = true } -- held, and the PC may have been powered
local NEW, RUNNING, COMPLETED, TERMINATED = '2', '4', '7', '8'

-- What httpd's user may write can have any type and any text. A worker's verb must not stop at it: a key that holds
-- something else than it should is worth nothing, and is removed; a count that is no number, or one at the end of its
-- range, begins again. A verb that may not write there fails with the error of the first try.
local function mend(refused, ...)
    local command, at, field = ...
    if refused.err:find('WRONGTYPE', 1, true) then
        local removed = redis.pcall('UNLINK', at)
        if type(removed) == 'table' then
            error(refused.err, 0)
        end
    elseif command == 'HINCRBY' and (refused.err:find('integer', 1, true) or refused.err:find('overflow', 1, true)) then
        redis.call('HSET', at, field, '0')
    else
        error(refused.err, 0)
    end
    return redis.call(...)
end

local function call(...) -- redis.call does not exist yet while the library loads
    local answer = redis.pcall(...)
    if type(answer) == 'table' and answer.err then
        return mend(answer, ...)
    end
    return answer
end

local function key(...)
    return '{amtu}:' .. table.concat({ ... }, ':')
end

local function text(number)
    return string.format('%.0f', number)
end

-- 0 if there is no number: fields of a job are written by httpd's user, and so are not trusted to be numbers.
local MOST = 1e18 -- fits the integers of Redis
local function number(value)
    local n = tonumber(value or 0) or 0
    return n > -MOST and n < MOST and n or 0
end

-- ---- many values in few calls ----------------------------------------------------------------------------------

local function write_many(command, at, values)
    for first = 1, #values, SLICE do
        call(command, at, unpack(values, first, math.min(first + SLICE - 1, #values)))
    end
end

-- Values of `fields` in the hash, in their order; false where there is none.
local function read_many(hash, fields)
    local values = {}
    for first = 1, #fields, SLICE do
        local last = math.min(first + SLICE - 1, #fields)
        for i, value in ipairs(call('HMGET', hash, unpack(fields, first, last))) do
            values[first + i - 1] = value
        end
    end
    return values
end

local function tally(counter, n)
    call('HINCRBY', key('counters'), counter, n or 1)
end

local function wake_workers()
    if call('LLEN', WAKE_UPS) < MOST_WAKE_UPS then
        call('LPUSH', WAKE_UPS, '1')
    end
end

-- ---- arguments -------------------------------------------------------------------------------------------------

local function reader(args)
    local at = 1 -- args[1] is the schema
    local read = {}
    function read.take(n)
        local first = at + 1
        at = at + n
        if at > #args then
            error('too few arguments')
        end
        return unpack(args, first, at)
    end
    function read.text(most)
        at = at + 1
        local value = args[at] or error('too few arguments')
        if #value > most then
            error('an argument of ' .. #value .. ' bytes is too long')
        end
        return value
    end
    function read.number()
        return tonumber((read.take(1))) or error('not a number: ' .. args[at])
    end
    -- A limit of what is under way, and one of what is kept with it: "N/M", or "N" without the second.
    function read.limits()
        local under_way, kept = read.take(1):match('^(%d+)/?(%d*)$')
        return tonumber(under_way) or error('not a limit: ' .. args[at]), tonumber(kept) or 0
    end
    function read.more()
        return at < #args
    end
    return read
end

-- A call is refused after its sender gave it up: a Redis that was frozen would run it when it thaws.
local function is_late(now, not_after)
    return now > not_after
end

local verbs = {}
