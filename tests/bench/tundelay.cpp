// A long line in two TUN devices: what goes in at one comes out of the other after a fixed delay, packet by
// packet. For machines whose kernel lacks the netem queue. The devices pass segments of up to 64 KiB
// (virtio header and TSO), so that the copying does not become the limit.
//
//   tundelay DEVICE_A NAMESPACE_A DEVICE_B NAMESPACE_B ONE_WAY_MS
//
// A namespace is a path such as /run/netns/server, or `-` for the present one. Needs CAP_NET_ADMIN and
// /dev/net/tun. Writes `ready` to stdout when both devices exist, and ends when stdin is closed.

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kLongestPacket = 70'000;  // a TSO segment of 64 KiB with all its headers

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "tundelay: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

void enter_namespace(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 || ::setns(fd, CLONE_NEWNET) != 0) die(path);
  ::close(fd);
}

/// A device stays in the namespace in which it was made, wherever its maker goes.
int make_device(std::string_view name, const std::string& network) {
  int home = ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (network != "-") enter_namespace(network);
  int device = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (device < 0) die("/dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  if (::ioctl(device, TUNSETIFF, &request) != 0) die("making the device " + std::string(name));
  if (::ioctl(device, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) != 0) die("segmentation offload");
  if (home < 0 || ::setns(home, CLONE_NEWNET) != 0) die("the first namespace");
  ::close(home);
  return device;
}

/// One direction: a thread that takes packets in, and one that sends each when it is due.
class Line {
 public:
  Line(int from, int to, Clock::duration delay) : from_(from), to_(to), delay_(delay) {
    std::thread([this] { receive(); }).detach();
    std::thread([this] { send(); }).detach();
  }

 private:
  struct Packet {
    Clock::time_point due;
    std::vector<char> bytes;
  };

  void receive() {
    std::vector<char> buffer(kLongestPacket);
    for (;;) {
      ssize_t size = ::read(from_, buffer.data(), buffer.size());
      if (size <= 0) continue;
      Packet packet{.due = Clock::now() + delay_, .bytes = {buffer.data(), buffer.data() + size}};
      std::lock_guard guard(mutex_);
      queue_.push_back(std::move(packet));
      arrived_.notify_one();
    }
  }

  void send() {
    for (;;) {
      std::unique_lock guard(mutex_);
      arrived_.wait(guard, [&] { return !queue_.empty(); });
      auto packet = std::move(queue_.front());
      queue_.pop_front();
      guard.unlock();
      std::this_thread::sleep_until(packet.due);
      // A packet that the device does not take is lost, as on any line.
      [[maybe_unused]] auto sent = ::write(to_, packet.bytes.data(), packet.bytes.size());
    }
  }

  int from_;
  int to_;
  Clock::duration delay_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Packet> queue_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fputs("usage: tundelay DEVICE_A NAMESPACE_A DEVICE_B NAMESPACE_B ONE_WAY_MS\n", stderr);
    return 2;
  }
  int a = make_device(argv[1], argv[2]);
  int b = make_device(argv[3], argv[4]);
  auto delay = std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double, std::milli>(std::atof(argv[5])));
  // Their threads use them until the process ends, which no destructor may come before.
  static Line there(a, b, delay);
  static Line back(b, a, delay);
  std::puts("ready");
  std::fflush(stdout);
  std::array<char, 64> ignored{};
  while (::read(STDIN_FILENO, ignored.data(), ignored.size()) > 0) {
  }
  std::_Exit(0);
}
