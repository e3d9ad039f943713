#include <cerrno>
#include <cstring>
#include <string>

#include <signal.h>
#include <unistd.h>

#include "kernels/base/file.h"

#include "partial_impl.h"

namespace kernels::cache {

void put_u64(std::byte* to, std::uint64_t value) {
  for (int i = 0; i < 8; ++i)
    to[i] = static_cast<std::byte>(value >> (8 * i));
}

/// Host name and boot: a process number means nothing on another machine or after a restart.
static std::string this_host() {
  std::array<char, kHostSize> name{};
  ::gethostname(name.data(), name.size() - 1);
  auto boot = read_file("/proc/sys/kernel/random/boot_id", 128).value_or("");
  return (std::string(name.data()) + "/" + boot).substr(0, kHostSize - 1);
}

std::array<std::byte, kHeaderSize> make_header() {
  std::array<std::byte, kHeaderSize> header{};
  std::memcpy(header.data(), kMagic.data(), kMagic.size());
  put_u64(header.data() + 16, static_cast<std::uint64_t>(::getpid()));
  auto host = this_host();
  std::memcpy(header.data() + 24, host.data(), host.size());
  return header;
}

bool writer_is_gone(ByteView header) {
  auto process = header.le<std::uint64_t>(16);
  auto host = header.c_string(24);
  if (!process || !host) return false;
  auto here = this_host();
  bool same_machine = host->substr(0, host->find('/')) == here.substr(0, here.find('/'));
  if (!same_machine) return false;
  if (*host != here) return true;  // this machine, before it was restarted
  return ::kill(static_cast<pid_t>(*process), 0) != 0 && errno == ESRCH;
}

}  // namespace kernels::cache
