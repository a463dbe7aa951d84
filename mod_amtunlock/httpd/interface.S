/* SPDX-License-Identifier: Apache-2.0 */
/* The interface as MOF and as WSDL, as texts inside the module (see interface.c). */
    .section .rodata
    .global amtunlock_interface_mof
    .hidden amtunlock_interface_mof
    .global amtunlock_interface_wsdl
    .hidden amtunlock_interface_wsdl
amtunlock_interface_mof:
    .incbin "AMT_RemoteEncryptionService.mof"
    .byte 0
amtunlock_interface_wsdl:
    .incbin "AMT_RemoteEncryptionService.wsdl"
    .byte 0
    .section .note.GNU-stack,"",%progbits
