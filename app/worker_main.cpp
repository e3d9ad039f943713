// kernels-worker: runs one case of `kernels bench` in a process of its own, because other people's machine
// code runs in it. Started by the library with the parent's process id, and with a Python interpreter to
// start in its turn for benchmark scripts; descriptors 3, 4 and 5 are the connection.

#include <charconv>
#include <cstdio>
#include <string_view>

#include "kernels/bench/worker.h"

int main(int argc, char** argv) {
  pid_t parent = 0;
  const std::string_view text = argc == 2 || argc == 3 ? argv[1] : "";
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), parent);
  if (code != std::errc() || text.empty() || end != text.data() + text.size()) {
    std::fputs("kernels-worker is started by `kernels bench`, not by hand\n", stderr);
    return 2;
  }
  if (argc == 3) return kernels::bench::interpreter_main(parent, argv[2]);
  return kernels::bench::worker_main(parent);
}
