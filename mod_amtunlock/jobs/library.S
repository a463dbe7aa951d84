/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis library as a text inside the program (see jobs/library_priv.h): the parts in this order. */
    .section .rodata
    .global jobs_library
    .hidden jobs_library
jobs_library:
    .incbin "core.lua"
    .incbin "job.lua"
    .incbin "queue.lua"
    .incbin "holder.lua"
    .incbin "scope.lua"
    .incbin "submit.lua"
    .incbin "read.lua"
    .incbin "web.lua"
    .incbin "context.lua"
    .incbin "inventory.lua"
    .incbin "claim.lua"
    .incbin "worker.lua"
    .incbin "reap.lua"
    .incbin "restore.lua"
    .incbin "verbs.lua"
    .byte 0
    .section .note.GNU-stack,"",%progbits
