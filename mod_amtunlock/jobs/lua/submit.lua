-- SPDX-License-Identifier: Apache-2.0
-- What makes a job. Part of the library that core.lua begins.
do -- names of its own: Lua allows 200 in one block

local OWNER_MOST, NAME_MOST = 80, 600 -- bytes
local UNPACKED_MOST = 8 -- names of a request
local BYTES_A_NAME, BYTES_A_JOB = 12, 2048 -- what Redis needs beside the text, about

-- A request as it was resolved: `packed`, the tasks of the known systems; `lines`, these systems by group; `count` of
-- them; `refused`, how many other names. Names that are unknown and names out of scope fail alike, and have no task.
local function resolve_names(now, names, groups)
    local generation = call('HGET', key('inventory'), 'generation')
    local inventory = key('inventory', generation or 'none')
    local fields, line_fields = {}, {}
    for i, name in ipairs(names) do
        fields[i] = 'n:' .. name.key
    end
    local systems = read_many(inventory, fields)
    for i = 1, #names do
        line_fields[i] = 's:' .. (systems[i] or '')
    end
    local lines = read_many(inventory, line_fields)
    local waits = pack_task(new_task(now, 'Q', ''))
    local found, seen, of_group = { packed = {}, lines = {}, count = 0, refused = 0, bytes = 0 }, {}, {}
    for i, name in ipairs(names) do
        local group = lines[i] and lines[i]:match('^([^|]*)')
        name.system = group and (groups['*'] or groups[group]) and systems[i] or nil
        name.denied = group and not name.system
        local once = name.system or '!' .. name.key
        if not name.system then
            found.bytes = found.bytes + #name.spelling + BYTES_A_NAME
        end
        if not seen[once] then
            seen[once] = true
            if name.system then
                if not of_group[group] then
                    of_group[group] = { group = group }
                    table.insert(found.lines, of_group[group])
                end
                table.insert(of_group[group], name.system)
                table.insert(found.packed, name.system)
                table.insert(found.packed, waits)
                found.count = found.count + 1
            else
                found.refused = found.refused + 1
            end
        end
    end
    return found
end

local function read_submission(read)
    local s = {}
    s.id, s.caller, s.owner, s.peer, s.mechanism, s.message = read.text(ID_MOST), read.text(CALLER_MOST),
        read.text(OWNER_MOST), read.text(ID_MOST), read.text(ID_MOST), read.text(2 * OWNER_MOST)
    s.not_after, s.retention, s.start_within = read.number(), read.number(), read.number()
    s.max_jobs, s.max_kept = read.limits()
    s.max_systems, s.max_names = read.limits()
    s.groups, s.grants, s.names = {}, {}, {}
    for i = 1, read.number() do
        s.grants[i] = read.text(NAME_MOST)
        s.groups[group_of_grant(s.grants[i])] = true
    end
    s.kind = kind_of_job(scope_of(s.grants))
    while read.more() do
        s.names[#s.names + 1] = { spelling = read.text(NAME_MOST), key = read.text(NAME_MOST) }
    end
    if #s.names > NAMES_MOST then
        error('more than ' .. NAMES_MOST .. ' names')
    end
    return s
end

-- Whether the caller's message id came with other systems before, in a job that still exists.
local function is_message_id_reused(s)
    local other = s.message ~= '' and call('GET', key('message', s.owner, uuid_of(s.message)))
    return other and call('EXISTS', key('job', other)) == 1
end

-- Fields of the names' hash. Refused names are packed, since nothing about them will ever change, where there are many.
local function fields_of_names(names)
    local fields, parts = {}, {}
    for i, name in ipairs(names) do
        if name.system or #names <= UNPACKED_MOST then
            fields[#fields + 1] = text(i - 1)
            fields[#fields + 1] = (name.system or '!') .. '|' ..
                (name.spelling ~= name.system and name.spelling or '')
        else
            local part = math.floor((i - 1) / POSITIONS_A_PART)
            parts[part] = parts[part] or {}
            table.insert(parts[part], (i - 1) .. ' ' .. #name.spelling .. ' ' .. name.spelling)
        end
    end
    for part = 0, math.floor((#names - 1) / POSITIONS_A_PART) do
        if parts[part] then
            fields[#fields + 1] = 'r:' .. part
            fields[#fields + 1] = table.concat(parts[part])
        end
    end
    return fields
end

local function store_job(now, s, found)
    call('HSET', key('job', s.id), 'state', NEW, 'caller', s.caller, 'owner', s.owner, 'peer', s.peer, 'mechanism',
        s.mechanism, 'submitted', text(now), 'started', '0', 'changed', text(now), 'completed', '0', 'retention',
        text(s.retention), 'start_by', text(now + s.start_within), 'total', found.count + found.refused, 'waiting',
        found.count, 'running', 0, 'unlocked', 0, 'failed', found.refused, 'cancelled', '0', 'message', s.message,
        'names', #s.names, 'bytes', found.bytes)
    write_many('HSET', key('job', s.id, 'tasks'), found.packed)
    write_many('HSET', key('job', s.id, 'names'), fields_of_names(s.names))
    call('ZADD', key('jobs'), text(now), s.id)
    call('ZADD', key('jobs', s.owner), text(now), s.id)
    call('PERSIST', key('jobs', s.owner))
    call('ZADD', key('callers'), text(now), s.owner)
    call('HINCRBY', key('caller', s.owner), 'unfinished', 1)
    count_waiting(s.owner, found.count)
    count_charge(s.kind, s.owner, #s.names, found.bytes, 1)
    if s.message ~= '' then
        call('SET', key('message', s.owner, s.message), s.id)
        call('SET', key('message', s.owner, uuid_of(s.message)), s.id)
    end
end

-- Removes the oldest entries of a caller's list whose jobs have expired.
local function prune_jobs(owner)
    for _, id in ipairs(call('ZRANGE', key('jobs', owner), 0, 15)) do
        if call('EXISTS', key('job', id)) == 0 then
            call('ZREM', key('jobs', owner), id)
        end
    end
end

-- Of all callers together, which bounds Redis' memory: systems that wait; bytes that are kept of refused names. Where
-- others have used them up, a caller still has LEAST of its own.
local MOST_WAITING, LEAST_WAITING = 200000, 2000
local MB = 1024 * 1024
-- Anybody who can log in may send refused names. What callers who may unlock nothing keep takes nothing from the others.
local REFUSED_NAMES = {
    j = { most = 32 * MB, share = 16 * MB, least = MB / 16 },
    u = { most = 16 * MB, share = MB / 2, least = 0 },
}
local SCARCE_FOR = 30 * 1000000 -- workers look every few seconds whether memory is still short

-- Asked before the names are resolved, so that who is over a limit costs little.
local function over_kept(now, s)
    local kept, names = unpack(call('HMGET', key('caller', s.owner), 'kept', 'names'))
    if s.max_kept > 0 and number(kept) + 1 > s.max_kept then
        return 'kept'
    elseif s.max_names > 0 and number(names) + #s.names > s.max_names then
        return 'names'
    elseif number(call('HGET', TOTALS, 'scarce')) > now - SCARCE_FOR then
        return 'memory'
    end
    return nil
end

-- The caller's own share counts where most names are refused; all callers' where all are.
local function over_refused(s, found)
    local bounds = REFUSED_NAMES[s.kind]
    local own = number(call('HGET', key('caller', s.owner), 'bytes')) + found.bytes
    if found.refused > found.count and own > bounds.share then
        return 'share'
    elseif found.count == 0 and own > bounds.least and
        number(call('HGET', TOTALS, BYTES_OF[s.kind])) + found.bytes > bounds.most then
        return 'refused'
    end
    return nil
end

local function over_quota(s, found)
    if found.count == 0 then
        return over_refused(s, found)
    end
    local count = call('HMGET', key('caller', s.owner), 'unfinished', 'waiting')
    local waiting = number(count[2]) + found.count
    if s.max_jobs > 0 and number(count[1]) + 1 > s.max_jobs then
        return 'jobs'
    elseif s.max_systems > 0 and waiting > s.max_systems then
        return 'systems'
    elseif waiting > LEAST_WAITING and all_waiting() + found.count > MOST_WAITING then
        return 'everybody'
    end
    return over_refused(s, found)
end

local function queue_lines(now, s, found)
    for _, systems in ipairs(found.lines) do
        local line = s.id .. ':' .. systems.group
        write_many('RPUSH', key('queue', line), systems)
        join_queue(s.owner, line)
    end
    call('ZADD', key('deadlines'), text(now + s.start_within), s.id)
    wake_workers()
end

function verbs.submit(now, read)
    local s = read_submission(read)
    if is_late(now, s.not_after) then
        return { 'late' }
    end
    local owner = call('HGET', key('job', s.id), 'owner')
    if owner then -- sent again: the first call arrived, its answer was lost
        return owner == s.owner and { 'ok', s.id, '0' } or { 'refused', 'this job id is taken' }
    end
    local same = s.message ~= '' and call('GET', key('message', s.owner, s.message))
    if same and call('EXISTS', key('job', same)) == 1 then
        return { 'ok', same, '1' }
    end
    end_all_overdue(now, 2) -- keeps Redis from filling up while no worker runs
    give_back_expired(now, GIVEN_BACK_A_CALL)
    if call('EXISTS', key('jobs', s.owner)) == 0 then
        forget_caller(s.owner) -- nothing is kept for it, whatever is counted: somebody has deleted keys
    end
    local limit = over_kept(now, s)
    local found = not limit and resolve_names(now, s.names, s.groups)
    limit = limit or over_quota(s, found)
    if limit then
        return { 'quota', limit }
    end
    if found.refused > 0 then
        found.bytes = found.bytes + BYTES_A_JOB
        tally('refused', found.refused)
        tally('failed:not-available', found.refused)
    end
    prune_jobs(s.owner)
    local match = is_message_id_reused(s) and '2' or '0' -- jobs_match_e
    store_job(now, s, found)
    call('HSET', key('job', s.id), 'scope', scope_of(s.grants))
    local denied = not s.groups['*'] and note_denied(now, s) or nil -- to '*' nothing is denied
    tally('jobs')
    if found.count == 0 then
        complete_if_done(now, s.id)
    else
        queue_lines(now, s, found)
    end
    return { 'ok', s.id, match, denied }
end

end
