-- SPDX-License-Identifier: Apache-2.0
-- The workers' verbs that publish the inventory. Part of the library that core.lua begins.

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

-- Of two that were written at the same time the one counts that was published later, as long as its publisher lives:
-- a worker that publishes its own `again` does not take turns with it. One of the future (a clock was wrong) counts as
-- written when it is published: nothing that is written from then on would be newer.
local function is_older(now, written, again, worker, live_written, by)
    local other_lives = by ~= worker and call('EXISTS', key('worker', by)) == 1
    local same = written == live_written or written > now
    return math.min(written, now) < live_written or again and same and other_lives
end

-- Generation '': only says whether publishing is needed.
function verbs.publish_switch(now, read)
    local worker, generation, digest = read.take(3)
    local written, systems, fields = read.number(), read.number(), read.number()
    local again = read.more() and read.take(1) == '1'
    local live = key('inventory')
    local previous, live_digest, live_written, by =
        unpack(call('HMGET', live, 'generation', 'digest', 'written', 'by'))
    local verdict
    live_written = math.min(number(live_written), now)
    if previous and live_digest == digest and call('EXISTS', key('inventory', previous)) == 1 then
        call('HSET', live, 'written', text(math.max(math.min(written, now), live_written)))
        verdict = { 'already' }
    elseif previous and is_older(now, written, again, worker, live_written, by or '') then
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
    call('HSET', live, 'generation', generation, 'digest', digest, 'written', text(math.min(written, now)), 'systems',
        text(systems), 'published', text(now), 'by', worker)
    if previous then
        call('EXPIRE', key('inventory', previous), RETIRED_S)
    end
    wake_workers()
    return { 'ok' }
end
