# SPDX-License-Identifier: Apache-2.0
"""All that the records say of one task, in the order in which it happened: what somebody who reads of a breach asks for.

Times are seconds from the submission of its job.
"""

BEFORE, AFTER = 2.0, 2.0  # seconds around the task in which what happened to processes belongs to its story


def story(history, breach):
    """Lines of text: the task that a breach names, or each task of its job; none where it is about no job."""
    tasks = [task for task in history.tasks if task.job == breach.job]
    named = [task for task in tasks if breach.subject == task.name]
    for task in named or tasks:
        yield f"  {task.name}: {task}"
        for at, text in sorted(_happened(history, task)):
            yield f"  {at - task.submitted:9.3f} {text}"


def _happened(history, task):
    """(at, text)"""
    key = task.job, task.system
    until = max(task.ended, task.deadline, task.submitted) + AFTER
    for one in history.processes:
        if task.submitted - BEFORE < one["t"] < until:
            yield one["t"], " ".join(f"{name}={value}" for name, value in one.items() if name != "t")
    for one in history.states:
        if (one["job"], one["system"]) == key:
            yield one["t"], f"Redis: state {one['state']}, fence {one['fence']}"
    for line in history.audit:
        if (line.get("job"), line.get("system")) == key:
            words = (line.get(name, "") for name in ("event", "mark", "result", "reason"))
            yield line["at"], f"{line['file']}: {' '.join(words)}"
    for line in history.lines:
        if (line.get("job"), line.get("system")) == key:
            yield line["at"], f"{line['worker']}: {line['number']} {line['text']}"
    for at, worker, act in history.gates.get(key, ()):
        yield at, f"{worker}: the gate of an act let it pass: {act}"
    for event in history.events.get(task.system, ()):
        if task.submitted - BEFORE < event["at"] < until:
            yield event["at"], "PC: " + " ".join(f"{name}={value}" for name, value in event.items()
                                                 if name not in ("t", "at", "system"))
