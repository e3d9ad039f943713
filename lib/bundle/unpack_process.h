#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/bundle/frame.h"
#include "kernels/bundle/sandbox.h"

namespace kernels::bundle {

/// What the unpacking process says, in this order: confined, then for each entry `entry` and its `data`, then
/// `done` or `refused`.
struct Message {
  enum class Kind : std::uint32_t { confined = 1, entry, data, done, refused };
  Kind kind = Kind::done;
  std::uint64_t value = 0;           ///< entry: its size; confined: packed
  std::span<const std::byte> bytes;  ///< entry: its name; data; refused: the reason. Until the next message

  std::string_view text() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
};

/// A child that reads one archive, and its answers. It is a fork that has given up all rights but two: to
/// read the archive's descriptor and to write to a pipe. It writes no file: what it unpacks comes through the
/// pipe, and is hashed and judged on this side. It is not trusted, as it reads bytes of others.
///
/// Not for two threads at once. Destroyed before the end, it kills the child.
class UnpackProcess {
 public:
  UnpackProcess() = default;
  UnpackProcess(const UnpackProcess&) = delete;
  UnpackProcess& operator=(const UnpackProcess&) = delete;
  ~UnpackProcess();

  /// `where` names the archive in errors. Errors  io: no process, no pipe.
  Status start(int archive, const Frame& frame, std::string where);

  /// Takes answers from a descriptor, whoever writes them. `start` does it with the child's.
  void listen(UniqueFd answers, std::string where);

  /// Waits for the next message. Errors  integrity: the child refuses the archive, has ended out of turn
  /// (rule `reader`) or says what makes no sense; io.
  Result<Message> next();

 private:
  Status fill(std::size_t wanted);
  std::unexpected<Error> ended();

  UniqueFd answers_;
  pid_t child_ = -1;
  std::string where_;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace kernels::bundle
