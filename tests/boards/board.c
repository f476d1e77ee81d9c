/* Classifies the pictures of pictures.h on a Cortex-M4 in QEMU, without a C library. Prints the first class, the logits
   and the probabilities of each, and in the last line how many bytes of stack a call took. */

#include <stdint.h>

#include "net.h"
#include "pictures.h"

#define PAINT 0xa5u
#define PAINTED 16384
#define WRITE_TEXT 4 /* semihosting's operations */
#define EXIT 0x18
#define EXITED 0x20026

extern uint32_t stack_top;
static int32_t logits[NET_CLASSES];
static uint16_t probabilities[NET_CLASSES];

static void ask_host(uint32_t operation, uint32_t argument)
{
    register uint32_t first __asm__("r0") = operation;
    register uint32_t second __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(first) : "r"(second) : "memory");
}

static void print(int32_t number, char end)
{
    char text[13];
    char *start = text + 11;
    uint32_t rest = number < 0 ? 0u - (uint32_t)number : (uint32_t)number;
    text[11] = end;
    text[12] = 0;
    do {
        *--start = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0)
        *--start = '-';
    ask_host(WRITE_TEXT, (uint32_t)start);
}

/* How deep the stack grows below this function. */
static __attribute__((noinline)) int32_t stack_of_a_call(void)
{
    uint8_t *top;
    int32_t depth = PAINTED;
    __asm__ volatile("mov %0, sp" : "=r"(top));
    for (int32_t i = 1; i <= PAINTED; i++)
        *((volatile uint8_t *)top - i) = PAINT;
    net_classify(pictures[0], logits);
    while (depth > 0 && *((volatile uint8_t *)top - depth) == PAINT)
        depth--;
    return depth;
}

static void start(void)
{
    for (int i = 0; i < NUM_PICTURES; i++) {
        print(net_classify(pictures[i], logits), ' ');
        net_probabilities(logits, probabilities);
        for (int k = 0; k < NET_CLASSES; k++) {
            print(logits[k], ' ');
            print(probabilities[k], k + 1 < NET_CLASSES ? ' ' : '\n');
        }
    }
    print(stack_of_a_call(), '\n');
    ask_host(EXIT, EXITED);
    for (;;)
        ;
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {&stack_top, (const void *)start};
