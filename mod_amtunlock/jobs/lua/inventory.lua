-- SPDX-License-Identifier: Apache-2.0
-- The workers' verbs that publish the inventory. Part of the library that core.lua begins.

-- ---- who serves the inventory ----------------------------------------------------------------------------------

-- Workers that found the live inventory to be theirs, by when they did.
local SERVING = '{amtu}:inventory:workers'
local FORGOTTEN_A_CALL = 20

local function was_heard(now, lease, at)
    return number(at) > now - lease and number(at) <= now
end

-- One of them that lives, and its host; nil: none. `but`: a host whose own do not count.
local function next_heard(now, lease, but)
    for _, worker in ipairs(call('ZRANGE', SERVING, 0, VALUES_A_CALL - 1)) do
        local host = (call('GET', key('worker', worker)) or ''):match('host=(%S+)') or '?'
        if host ~= but and (was_heard(now, lease, call('ZSCORE', SERVING, worker))
            or was_heard(now, lease, call('ZSCORE', key('workers'), worker))) then
            return worker, host
        end
    end
    return nil
end

local function note_serving(now, lease, worker)
    if call('ZSCORE', SERVING, worker) then
        return
    end
    call('ZADD', SERVING, text(now), worker)
    for _, other in ipairs(call('ZRANGE', SERVING, 0, FORGOTTEN_A_CALL - 1)) do -- of those that are gone
        if not call('ZSCORE', key('workers'), other) and not was_heard(now, lease, call('ZSCORE', SERVING, other)) then
            call('ZREM', SERVING, other)
        end
    end
end

-- ---- publishing -----------------------------------------------------------------------------------------------

-- Each system is: its name, group, method, the number of its keys, the keys.
function verbs.publish_chunk(_, read)
    local staged = key('inventory', (read.take(1)))
    local fields = {}
    while read.more() do
        local system, group, method = read.take(3)
        fields[#fields + 1] = 's:' .. system
        fields[#fields + 1] = group .. '|' .. method
        for _ = 1, read.number() do
            fields[#fields + 1] = 'n:' .. read.take(1)
            fields[#fields + 1] = system
        end
    end
    write_many('HSET', staged, fields)
    call('EXPIRE', staged, STAGED_S)
    return { 'ok' }
end

local function seconds(microseconds)
    return text(math.max(math.floor(microseconds / 1000000), 0)) .. ' s'
end

-- For how long nobody was heard who serves the live one. Only that time counts in which Redis was there to hear: in
-- which this was asked again and again.
local function silent_for(now, lease)
    local since, asked = (call('HGET', key('inventory'), 'silent') or ''):match('^(%d+)|(%d+)$')
    if number(asked) < now - lease or number(asked) > now then
        since = text(now)
    end
    call('HSET', key('inventory'), 'silent', since .. '|' .. text(now))
    return now - number(since)
end

-- Why the live inventory is not replaced by this one; nil: it is. One that was written later always counts; a time of
-- the future says nothing of that. An older one is not let in while any worker serves the live one. Where none is left,
-- an older one is better than none: at once where the last that served it asks for another itself, and otherwise when
-- none was heard for twice a lease.
local function why_refused(now, wanted, live)
    local serving = call('ZRANGE', SERVING, 0, 0)[1]
    local heard, host = next_heard(now, wanted.lease, wanted.worker == '' and wanted.host)
    if not serving or wanted.written > live.written and wanted.written <= now then
        return nil
    elseif not heard then
        local waits = wanted.worker ~= '' and silent_for(now, wanted.lease) < wanted.lease
        return waits and 'worker ' .. serving .. ' served it, and is silent: it is waited for, for a minute' or nil
    end
    return string.format('worker %s of host %s serves it, and %s', heard, host, wanted.written > now
        and "the time of this one's files is " .. seconds(wanted.written - now) .. ' in the future'
        or "this one's files were not written later")
end

local function describe(now, live)
    return string.format('worker %s of host %s had published it %s ago, and no worker serves it any more',
        live.by or '?', live.host or '?', seconds(now - number(live.published)))
end

local function read_wanted(read)
    local wanted = {}
    wanted.worker, wanted.generation, wanted.digest = read.take(3)
    wanted.written, wanted.systems, wanted.fields, wanted.lease = read.number(), read.number(), read.number(),
        read.number()
    wanted.host = read.take(1)
    return wanted
end

local function read_live(now)
    local live = {}
    live.generation, live.digest, live.written, live.by, live.host, live.published =
        unpack(call('HMGET', key('inventory'), 'generation', 'digest', 'written', 'by', 'host', 'published'))
    live.written = math.min(number(live.written), now)
    live.is_there = live.generation and call('EXISTS', key('inventory', live.generation)) == 1
    return live
end

-- The answer if nothing is published. Worker '': only asks, as if the workers of its host were loaded anew.
local function judge(now, wanted, live)
    if live.is_there and live.digest == wanted.digest then
        if wanted.worker ~= '' then
            note_serving(now, wanted.lease, wanted.worker)
            call('HSET', key('inventory'), 'written',
                text(wanted.written <= now and math.max(wanted.written, live.written) or live.written))
        end
        return { 'already' }
    end
    call('ZREM', SERVING, wanted.worker)
    local why = live.generation and why_refused(now, wanted, live)
    if why then
        return { 'refused', why }
    elseif wanted.generation ~= '' and call('HLEN', key('inventory', wanted.generation)) ~= wanted.fields then
        return { 'conflict', 'not every chunk arrived, or two systems share a name' }
    end
    return nil
end

-- Generation '': only says whether publishing is needed.
function verbs.publish_switch(now, read)
    local wanted, live = read_wanted(read), read_live(now)
    local verdict = judge(now, wanted, live)
    local generation = wanted.generation
    if verdict or generation == '' then
        if generation ~= '' and generation ~= live.generation then
            call('UNLINK', key('inventory', generation))
        end
        return verdict or { 'ok' }
    end
    call('PERSIST', key('inventory', generation))
    call('HSET', key('inventory'), 'generation', generation, 'digest', wanted.digest, 'written',
        text(math.min(wanted.written, now)), 'systems', text(wanted.systems), 'published', text(now), 'by',
        wanted.worker, 'host', wanted.host, 'silent', '')
    if live.generation then
        call('EXPIRE', key('inventory', live.generation), RETIRED_S)
    end
    call('UNLINK', SERVING)
    note_serving(now, wanted.lease, wanted.worker)
    wake_workers()
    return { 'ok', live.generation and wanted.written <= live.written and describe(now, live) or nil }
end
