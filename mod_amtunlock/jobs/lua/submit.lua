-- SPDX-License-Identifier: Apache-2.0
-- What makes a job. Part of the library that core.lua begins.
do -- names of its own: Lua allows 200 in one block

-- A request of up to VALUES_A_CALL names is one call of `submit`. A larger one comes in parts: `submit_part` for all but the
-- last, which `submit` brings. What a part has is resolved and written where the job will have it, under keys that
-- expire: nobody reads them, nothing is counted and nothing waits in a line until `submit` has made a job of them.

local OWNER_MOST, NAME_MOST = 80, 600 -- bytes
local UNPACKED_MOST = 8 -- names of a request
local BYTES_A_NAME, BYTES_A_JOB = 12, 2048 -- what Redis needs beside the text, about
local STAGED_MS = 60000 -- from the first part on; longer than a caller waits
local STAGED_LONGER_MS = 5000 -- what {amtu}:job:ID:staged counts is there for as long as that

-- What is known of a request: `count` known systems and `refused` other names, each once; bytes of these; how many names
-- were `denied`, and the first of them. The parts before keep it in a hash, with the refused names (!KEY) until the end.
local function read_staged(s)
    local found = { count = 0, refused = 0, bytes = 0, denied = 0, names_denied = '', next = 0, till = 0 }
    if s.in_parts then
        local fields = { 'count', 'refused', 'bytes', 'denied', 'next', 'till' }
        for i, value in ipairs(call('HMGET', key('job', s.id, 'staged'), unpack(fields))) do
            found[fields[i]] = number(value)
        end
        found.names_denied = call('HGET', key('job', s.id, 'staged'), 'names_denied') or ''
    end
    return found
end

-- Groups of the names' systems, of the live inventory; sets each name's system where the caller may unlock it.
local function look_up_names(names, groups)
    local generation = call('HGET', key('inventory'), 'generation')
    local inventory = key('inventory', generation or 'none')
    local fields, line_fields, group_of_name = {}, {}, {}
    for i, name in ipairs(names) do
        fields[i] = 'n:' .. name.key
    end
    local systems = read_many(inventory, fields)
    for i = 1, #names do
        line_fields[i] = 's:' .. (systems[i] or '')
    end
    local lines = read_many(inventory, line_fields)
    for i, name in ipairs(names) do
        local group = lines[i] and lines[i]:match('^([^|]*)')
        name.system = group and (groups['*'] or groups[group]) and systems[i] or nil
        name.denied = group and not name.system
        group_of_name[i] = group
    end
    return group_of_name
end

-- Which systems and refused names the parts before had.
local function had_before(s)
    local systems, others, had = {}, {}, {}
    for _, name in ipairs(s.first > 0 and s.names or {}) do
        local list = name.system and systems or others
        list[#list + 1] = name.system or '!' .. name.key
    end
    for i, packed in ipairs(read_many(key('job', s.id, 'tasks'), systems)) do
        had[systems[i]] = packed
    end
    for i, known in ipairs(read_many(key('job', s.id, 'staged'), others)) do
        had[others[i]] = known
    end
    return had
end

-- Adds the names of this call to what is known: `packed`, the tasks of the systems that are new; `lines`, these systems
-- by group; `others`, the refused names that are new. Names that are unknown and names out of scope fail alike, and
-- have no task.
local function resolve_names(now, s, found)
    local groups = look_up_names(s.names, s.groups)
    local waits, seen, of_group = pack_task(new_task(now, 'Q', '')), had_before(s), {}
    found.packed, found.lines, found.others = {}, {}, {}
    for i, name in ipairs(s.names) do
        local once, group = name.system or '!' .. name.key, groups[i]
        if not name.system then
            found.bytes = found.bytes + #name.spelling + BYTES_A_NAME
        end
        if not seen[once] and name.system then
            if not of_group[group] then
                of_group[group] = { group = group }
                table.insert(found.lines, of_group[group])
            end
            table.insert(of_group[group], name.system)
            table.insert(found.packed, name.system)
            table.insert(found.packed, waits)
            found.count = found.count + 1
        elseif not seen[once] then
            table.insert(found.others, once)
            found.refused = found.refused + 1
        end
        seen[once] = true
    end
    add_denied(found, s.names)
end

local function read_submission(read, is_part)
    local s = {}
    s.id, s.caller, s.owner, s.peer, s.mechanism, s.message = read.text(ID_MOST), read.text(CALLER_MOST),
        read.text(OWNER_MOST), read.text(ID_MOST), read.text(ID_MOST), read.text(2 * OWNER_MOST)
    s.not_after, s.retention, s.start_within = read.number(), read.number(), read.number()
    s.max_jobs, s.max_kept = read.limits()
    s.max_systems, s.max_names = read.limits()
    s.first, s.total = read.limits() -- how many names came before; of how many
    s.groups, s.grants, s.names = {}, {}, {}
    for i = 1, read.number() do
        s.grants[i] = read.text(NAME_MOST)
        s.groups[group_of_grant(s.grants[i])] = true
    end
    s.kind = kind_of_job(scope_of(s.grants))
    while read.more() do
        local spelling, name = read.text(NAME_MOST), read.text(NAME_MOST) -- '': it is spelled as its key
        s.names[#s.names + 1] = { spelling = spelling, key = name ~= '' and name or spelling }
    end
    s.total, s.in_parts = math.max(s.total, s.first + #s.names), is_part or s.first > 0
    if #s.names > VALUES_A_CALL or s.total > NAMES_MOST then
        error('more than ' .. VALUES_A_CALL .. ' names, or ' .. NAMES_MOST .. ' in all')
    end
    return s
end

-- Whether the caller's message id came with other systems before, in a job that still exists.
local function is_message_id_reused(s)
    local other = s.message ~= '' and call('GET', key('message', s.owner, uuid_of(s.message)))
    return other and call('EXISTS', key('job', other)) == 1
end

-- Fields of the names' hash. Refused names are packed, since nothing about them will ever change, where there are many.
local function fields_of_names(s)
    local fields, parts = {}, {}
    local first_part = math.floor(s.first / POSITIONS_A_PART)
    parts[first_part] = s.first > 0 and { call('HGET', key('job', s.id, 'names'), 'r:' .. first_part) or nil } or nil
    for i, name in ipairs(s.names) do
        local position = s.first + i - 1
        if name.system or s.total <= UNPACKED_MOST then
            fields[#fields + 1] = text(position)
            fields[#fields + 1] = (name.system or '!') .. '|' ..
                (name.spelling ~= name.system and name.spelling or '')
        else
            local part = math.floor(position / POSITIONS_A_PART)
            parts[part] = parts[part] or {}
            table.insert(parts[part], position .. ' ' .. #name.spelling .. ' ' .. name.spelling)
        end
    end
    for part = first_part, math.floor((s.first + #s.names - 1) / POSITIONS_A_PART) do
        if parts[part] and #parts[part] > 0 then
            fields[#fields + 1] = 'r:' .. part
            fields[#fields + 1] = table.concat(parts[part])
        end
    end
    return fields
end

local function store_names(s, found)
    write_many('HSET', key('job', s.id, 'tasks'), found.packed)
    write_many('HSET', key('job', s.id, 'names'), fields_of_names(s))
end

local function drop_staged(s)
    if s.in_parts then
        call('UNLINK', key('job', s.id, 'staged'), key('job', s.id, 'tasks'), key('job', s.id, 'names'))
    end
end

local function store_job(now, s, found)
    call('HSET', key('job', s.id), 'state', NEW, 'caller', s.caller, 'owner', s.owner, 'peer', s.peer, 'mechanism',
        s.mechanism, 'submitted', text(now), 'started', '0', 'changed', text(now), 'completed', '0', 'retention',
        text(s.retention), 'start_by', text(now + s.start_within), 'total', found.count + found.refused, 'waiting',
        found.count, 'running', 0, 'unlocked', 0, 'failed', found.refused, 'cancelled', '0', 'message', s.message,
        'names', s.total, 'bytes', found.bytes, 'scope', scope_of(s.grants))
    call('ZADD', key('jobs'), text(now), s.id)
    call('ZADD', key('jobs', s.owner), text(now), s.id)
    call('PERSIST', key('jobs', s.owner))
    call('ZADD', key('callers'), text(now), s.owner)
    call('HINCRBY', key('caller', s.owner), 'unfinished', 1)
    count_waiting(s.owner, found.count)
    count_charge(s.kind, s.owner, s.total, found.bytes, 1)
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
    elseif s.max_names > 0 and number(names) + s.total > s.max_names then
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

local function over_waiting(s, found)
    local count = call('HMGET', key('caller', s.owner), 'unfinished', 'waiting')
    local waiting = number(count[2]) + found.count
    if s.max_jobs > 0 and number(count[1]) + 1 > s.max_jobs then
        return 'jobs'
    elseif s.max_systems > 0 and waiting > s.max_systems then
        return 'systems'
    elseif waiting > LEAST_WAITING and all_waiting() + found.count > MOST_WAITING then
        return 'everybody'
    end
    return nil
end

-- Works off a little, which keeps Redis from filling up while no worker runs. True: there is more of it.
local function work_off(now)
    local more = sweep_jobs(now, 100)
    return give_back_expired(now, GIVEN_BACK_A_CALL) == GIVEN_BACK_A_CALL or more
end

local function refuse_over(limit, s, is_behind)
    if is_behind and limit ~= 'memory' then
        return AGAIN
    end
    drop_staged(s)
    return { 'quota', limit }
end

-- What both verbs begin with: the answer, if this is all; else what is known, with the names of this call.
local function begin_part(now, s)
    if is_late(now, s.not_after) then
        return { 'late' }
    end
    local owner = call('HGET', key('job', s.id), 'owner')
    if owner then -- sent again: the first call arrived, its answer was lost
        return owner == s.owner and { 'ok', s.id, '0' } or { 'refused', 'this job id is taken' }
    end
    local same = s.message ~= '' and call('GET', key('message', s.owner, s.message))
    if same and call('EXISTS', key('job', same)) == 1 then
        drop_staged(s)
        return { 'ok', same, '1' }
    end
    local is_behind = work_off(now)
    if call('EXISTS', key('jobs', s.owner)) == 0 then
        forget_caller(s.owner) -- nothing is kept for it, whatever is counted: somebody has deleted keys
    end
    local limit = over_kept(now, s)
    if limit then
        return refuse_over(limit, s, is_behind)
    end
    local found = read_staged(s)
    if found.next < s.first then
        return { 'conflict', 'the names before are gone' }
    elseif found.next > s.first then
        return { 'already' }
    end
    resolve_names(now, s, found)
    limit = found.count > 0 and over_waiting(s, found)
    if limit then
        return refuse_over(limit, s, is_behind)
    end
    found.is_behind = is_behind
    return nil, found
end

-- All that is staged of a request expires at one moment, what the others are counted by first.
local function expire_staged(now, s, till)
    local left = math.max(math.min(math.floor((till - now) / 1000), STAGED_MS), 1)
    call('PEXPIRE', key('job', s.id, 'staged'), text(left))
    call('PEXPIRE', key('job', s.id, 'tasks'), text(left + STAGED_LONGER_MS))
    call('PEXPIRE', key('job', s.id, 'names'), text(left + STAGED_LONGER_MS))
end

-- Names before the last VALUES_A_CALL of a request; s.id is not a job yet.
function verbs.submit_part(now, read)
    local s = read_submission(read, true)
    local answer, found = begin_part(now, s)
    if answer then
        return answer
    end
    local till = found.till > 0 and found.till or now + STAGED_MS * 1000
    local fields = { 'till', text(till), 'count', found.count, 'refused', found.refused, 'bytes', found.bytes, 'denied', found.denied,
        'names_denied', found.names_denied, 'next', s.first + #s.names }
    for _, other in ipairs(found.others) do
        fields[#fields + 1] = other
        fields[#fields + 1] = ''
    end
    store_names(s, found)
    write_many('HSET', key('job', s.id, 'staged'), fields)
    expire_staged(now, s, till)
    return { 'ok' }
end

local function begin_job(now, s, found)
    if found.count == 0 then
        complete_if_done(now, s.id)
        return
    end
    if s.first > 0 then
        call('RPUSH', PARTS, s.id)
    else
        queue_systems(s.owner, s.id, found.lines)
    end
    call('ZADD', key('deadlines'), text(now + s.start_within), s.id)
    wake_workers()
end

-- The whole request, or the last names of one; all of it becomes a job, or nothing.
function verbs.submit(now, read)
    local s = read_submission(read)
    local answer, found = begin_part(now, s)
    local limit = found and over_refused(s, found)
    if answer or limit then
        return answer or refuse_over(limit, s, found.is_behind)
    end
    if found.refused > 0 then
        found.bytes = found.bytes + BYTES_A_JOB
        tally('refused', found.refused)
        tally('failed:not-available', found.refused)
    end
    prune_jobs(s.owner)
    local match = is_message_id_reused(s) and '2' or '0' -- jobs_match_e
    store_names(s, found)
    if s.first > 0 then
        call('PERSIST', key('job', s.id, 'tasks'))
        call('PERSIST', key('job', s.id, 'names'))
        call('UNLINK', key('job', s.id, 'staged'))
    end
    store_job(now, s, found)
    local denied = note_denied(now, s, found)
    tally('jobs')
    begin_job(now, s, found)
    return { 'ok', s.id, match, denied }
end

end
