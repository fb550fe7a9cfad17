/**
 * A guest that does what a kernel does when it starts: from 16 bits over page tables to 64 bits, a compare-and-swap of
 * 16 bytes, a trap, model-specific registers, the caches of the page tables, SSE. It ends QEMU through the debug port 0xf4
 * (`isa-debug-exit`), with 0x10 if all went well.
 *
 * It stands in place of the firmware, because a firmware takes many seconds on a KVM that is made in software. Bytes at the
 * left, what they are in Intel's notation at the right.
 */

/** The first thing that the processor does: a jump to the start of the firmware. */
const resetVector = { at: 0xfff0, code: 'ea000000f0' }

/** From the firmware's memory, which is read-only, to 0x7c00. */
const copy = `
fa                    cli
fc                    cld
8cc8                  mov ax,cs
8ed8                  mov ds,ax
31c0                  xor ax,ax
8ec0                  mov es,ax
be1a00                mov si,end
bf007c                mov di,0x7c00
b90001                mov cx,0x100
f3a5                  rep movs word
ea007c0000            jmp 0x0:0x7c00
; end:
`

/** What is tried; addresses count from 0x7c00. */
const trial = `
; 16 bits: segments and a stack; 0x1000..0x5fff is cleared
fa                    cli
31c0                  xor ax,ax
8ed8                  mov ds,ax
8ec0                  mov es,ax
8ed0                  mov ss,ax
bc007c                mov sp,0x7c00
fc                    cld
bf0010                mov di,0x1000
b90028                mov cx,0x2800
f3ab                  rep stos word
; page tables: the first 2 MiB, each address onto itself
c70600100320          mov word [0x1000],0x2003
c70600200330          mov word [0x2000],0x3003
c70600308300          mov word [0x3000],0x83
; to 64 bits: CR4.PAE and SSE, EFER.LME, CR0.PE and PG
0f0116207d            lgdtw [gdtr]
0f20e0                mov eax,cr4
0d2006                or ax,0x620
0f22e0                mov cr4,eax
66b800100000          mov eax,0x1000
0f22d8                mov cr3,eax
66b9800000c0          mov ecx,0xc0000080
0f32                  rdmsr
80cc01                or ah,0x1
0f30                  wrmsr
0f20c0                mov eax,cr0
660d03000080          or eax,0x80000003
24fb                  and al,0xfb
0f22c0                mov cr0,eax
ea5e7c0800            jmp 0x8:long
; 64 bits
31c0                  xor eax,eax
8ed0                  mov ss,eax
bc007c0000            mov esp,0x7c00
; the instruction that a KVM made in software cannot run, and that Linux's allocator begins with; if the processor has it
b801000000            mov eax,0x1
0fa2                  cpuid
0fbae10d              bt ecx,0xd
731e                  jae other
bd00500000            mov ebp,0x5000
31c0                  xor eax,eax
31d2                  xor edx,edx
bb07000000            mov ebx,0x7
31c9                  xor ecx,ecx
f0480fc74d20          lock cmpxchg16b [rbp+0x20]
7579                  jne wrong
837d2007              cmp dword [rbp+0x20],0x7
7573                  jne wrong
; a trap through a table of our own, as Linux tries when it patches itself
; other:
48b800000800008e0000  movabs rax,0x8e0000080000
66b80a7d              mov ax,trap
4889042530400000      mov qword [0x4030],rax
0f011c25267d0000      lidt [idtr]
cc                    int3
4180ff03              cmp r15b,0x3
754e                  jne wrong
; a processor's own data: GS base and swapgs
b9010100c0            mov ecx,0xc0000101
b800500000            mov eax,0x5000
31d2                  xor edx,edx
0f30                  wrmsr
65ff042510000000      inc dword gs:[0x10]
0f01f8                swapgs
0f01f8                swapgs
; the caches of the page tables
0f20d8                mov rax,cr3
0f22d8                mov cr3,rax
0f013c2500500000      invlpg [0x5000]
; the clock, the x87 and an SSE register
0f31                  rdtsc
dbe3                  fninit
660fefc0              pxor xmm0,xmm0
660f7f042540500000    movdqa xmmword [0x5040],xmm0
; some work, in memory
b9a0860100            mov ecx,0x186a0
; again:
48010c2500500000      add qword [0x5000],rcx
e2f6                  loop again
; the result, to the debug port: 0x10 well, 0x11 wrong
b010                  mov al,0x10
eb02                  jmp tell
; wrong:
b011                  mov al,0x11
; tell:
e6f4                  out 0xf4,al
f4                    hlt
; trap:
41b703                mov r15b,0x3
48cf                  iretq
90                    nop
; gdt: nothing, and 64-bit code
0000000000000000
00000000009a2000
; gdtr and idtr: length and address
0f00107d0000          15, gdt
3f000040000000000000  63, 0x4000
`

/** What the guest tells at its end, if all went well. */
export const bootedWell = 0x10

/** The guest as a firmware of 64 KiB, the least that QEMU takes. */
export function probeFirmware(): Buffer {
  const firmware = Buffer.alloc(64 << 10)
  firmware.write(code(copy) + code(trial), 'hex')
  firmware.write(resetVector.code, resetVector.at, 'hex')
  return firmware
}

const code = (listing: string): string =>
  listing
    .split('\n')
    .map((line) => /^[0-9a-f]+/.exec(line)?.[0] ?? '')
    .join('')
