// A check of every kernel by itself, without Python and PyTorch: against loops in double precision, that nothing outside
// of its results is written, that the number of threads changes no bit, and that a NaN that goes in comes out.
//
// Says each failure and, last, how much was run; the exit code is 1 if anything failed. With the argument `faults` it runs
// kernels with known faults instead, each of which it must find.

#include <cstring>

#include "blocks.h"
#include "changes.h"
#include "convolutions.h"
#include "faults.h"
#include "images.h"
#include "muon.h"
#include "processes.h"
#include "strided.h"

int main(int argc, char** argv) {
    check::Findings findings;
    if (argc == 2 && std::strcmp(argv[1], "faults") == 0) {
        check::run_faults(findings);
    } else {
        check::check_convolutions(findings);
        check::check_blocks(findings);
        check::check_strided_blocks(findings);
        check::check_images(findings);
        check::check_changes(findings);
        check::check_muon_steps(findings);
        check::check_processes(findings);
    }
    std::printf("%d lanes, %d calls, %d failures\n", thumbnet_lanes(), findings.num_calls, findings.num_failures);
    return findings.num_failures > 0;
}
