-- SPDX-License-Identifier: Apache-2.0
-- What Redis had acknowledged and lost. Part of the library that core.lua begins.
do -- names of its own: Lua allows 200 in one block

-- Fences given from now on are newer than this one, which was given before Redis lost it.
local function raise_fence(fence)
    if number(call('GET', key('fence'))) < number(fence) then
        call('SET', key('fence'), fence)
    end
end

-- The intent that is here is an earlier one: whoever takes the task over goes on by this one. OWN: its holder is here.
local function restore_later(now, id, system, task, old, own)
    free_device(system)
    call('HSET', key('system', system), 'intent', old.intent, 'device', old.device)
    hold_device(old.device, system)
    raise_fence(old.fence)
    task.intent_fence = old.fence
    if task.state == 'L' then
        call('HSET', key('system', system), 'fence', old.fence)
        task.fence, task.step = old.fence, clean_step(old.step)
    end
    move_task(now, id, system, task, own and task.state == 'K' and 'I' or task.state)
end

-- The holder is heard no more: its next call says that it lost the task. It may be at work until its lease has run out, so
-- nobody takes over before.
local function depose(system)
    call('HSET', key('system', system), 'worker', '')
end

-- The task has an intent here. Its holder may have been this worker before a restart; another one that does not know all
-- of the marks gives it up, and who takes it over next does. The answer ends with the marks that are known here.
local function restore_known(now, id, system, task, old)
    if call('HGET', key('system', system), 'job') ~= id then
        return { 'already' }
    end
    local news = not old.kept and add_marks(system, old.marks)
    local own = held_task(id, system, task.worker, old.fence)
    local gives_up = INTENDED[task.state] and (own and task.worker ~= old.worker or not own and news)
    if gives_up and not own and number(old.fence) < number(task.fence) and call('ZSCORE', key('leases'), system) then
        depose(system)
    elseif gives_up then
        hand_back(now, id, system, task)
    end
    local is_later = not old.kept and number(old.fence) > number(task.intent_fence)
    if is_later then
        restore_later(now, id, system, task, old, own)
    end
    return { (gives_up or is_later) and 'ok' or 'already', '', marks_of(system) }
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
    return { 'ok', '', marks_of(system) }
end

-- Ends a task with a restored result. Its system may be held by another job's task.
local function finish_restored(now, id, system, task, state, reason, step)
    if call('HGET', key('system', system), 'job') == id then
        finish_system(now, id, system, task, state, reason, step)
    else
        call('ZREM', waiters_of(system), id)
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
