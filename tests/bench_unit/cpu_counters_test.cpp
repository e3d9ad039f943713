#include "cpu_counters.h"

#include <ctime>
#include <thread>

#include <linux/perf_event.h>

#include "support/catch.h"

using namespace kernels::bench;

namespace {

void work(double seconds) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  };
  for (const double end = now() + seconds; now() < end;) {
  }
}

}  // namespace

TEST_CASE("counters: threads that are started later are counted too", "[bench]") {
  // The clock of the processor is an event that virtual machines have as well; it counts nanoseconds.
  auto counters = CpuCounters::open(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, PERF_COUNT_SW_CPU_CLOCK);
  if (!counters) {
    WARN("this machine allows no counters at all");
    return;
  }
  const auto before = counters->read();
  REQUIRE(before);
  work(0.02);
  const auto alone = counters->read();
  REQUIRE(alone);
  CHECK(alone->cycles - before->cycles >= 0.02e9 * 0.5);
  std::jthread(work, 0.05).join();
  const auto both = counters->read();
  REQUIRE(both);
  CHECK(both->cycles - alone->cycles >= 0.05e9 * 0.5);
}

TEST_CASE("counters: where the machine has them, instructions follow the work", "[bench]") {
  auto counters = CpuCounters::open();
  if (!counters) {
    WARN("this machine has no counters of cycles and instructions");
    return;
  }
  const auto before = counters->read();
  REQUIRE(before);
  work(0.02);
  const auto after = counters->read();
  REQUIRE(after);
  CHECK(after->cycles > before->cycles);
  CHECK(after->instructions - before->instructions > 1e5);
}
