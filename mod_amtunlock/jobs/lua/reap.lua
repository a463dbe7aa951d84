-- SPDX-License-Identifier: Apache-2.0
-- What dead workers left. Part of the library that core.lua begins.
do -- names of its own: Lua allows 200 in one block

local VERIFIES_A_CALL = 200

local function end_stale_verifies(now)
    local count = 0
    for _, entry in ipairs(call('LRANGE', VERIFY_QUEUE, 0, VERIFIES_A_CALL - 1)) do
        local id, system = entry:match('^([^|]*)|(.*)$')
        local task = read_task(id, system)
        if count < REAPED_A_CALL and task and task.state == 'L' and number(task.deadline) < now then
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
        REAPED_A_CALL - #over)
    for _, system in ipairs(over) do
        expire_lease(now, system)
    end
    for _, system in ipairs(beyond) do
        expire_lease(now, system)
    end
    local reaped = #over + #beyond
    reaped = reaped + (reaped < REAPED_A_CALL and end_stale_verifies(now) or 0)
    local more, jobs = reaped >= REAPED_A_CALL, 0
    if not more then
        more, jobs = sweep_jobs(now, CHANGES_A_CALL)
        more = tell_next(now) or more
        more = give_back_expired(now, more and 1 or GIVEN_BACK_A_CALL) == GIVEN_BACK_A_CALL or more
    end
    for _, owner in ipairs(call('ZRANGE', key('callers'), 0, 15)) do
        if call('EXISTS', key('jobs', owner)) == 0 then
            forget_caller(owner)
        end
    end
    bound_scopes()
    call('LLEN', WAKE_UPS) -- these two only to mend them
    call('ZRANGE', ROUND_ROBIN, 0, 0)
    note_memory(now)
    return { 'ok', text(reaped + jobs), more and '1' or '0' }
end

end
