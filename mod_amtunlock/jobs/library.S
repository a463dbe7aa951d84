/* The Redis library as bytes inside the program: jobs_library .. jobs_library_end (see jobs/library.h). */
    .section .rodata
    .global jobs_library
    .hidden jobs_library
jobs_library:
    .incbin "jobs.lua"
    .incbin "web.lua"
    .incbin "worker.lua"
    .incbin "verbs.lua"
    .global jobs_library_end
    .hidden jobs_library_end
jobs_library_end:
    .byte 0
    .section .note.GNU-stack,"",%progbits
