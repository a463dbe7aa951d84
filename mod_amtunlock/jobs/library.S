/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis library as a text inside the program (see jobs/library_priv.h): the parts in this order. */
    .section .rodata
    .global jobs_library
    .hidden jobs_library
jobs_library:
    .incbin "core.lua"
    .incbin "scope.lua"
    .incbin "web.lua"
    .incbin "inventory.lua"
    .incbin "worker.lua"
    .incbin "verbs.lua"
    .byte 0
    .section .note.GNU-stack,"",%progbits
