#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/base/error.h"

namespace kernels::machine {

/// The environment variables as a function.
using Environment = std::function<std::optional<std::string>(const char* name)>;

/// The files of a machine: of this one, or of one whose root folder is a folder here (an unpacked image, a
/// fixture). Paths are those that the machine itself would use: absolute, links followed inside the root as
/// chroot(2) would, never out of it.
///
/// Files may be hostile: nothing here blocks on a FIFO, reads a device, follows more than 40 links or returns
/// more than was asked for.
/// Threads  a value; all functions may be called from any thread.
class Sysroot {
 public:
  Sysroot() = default;  ///< this machine

  /// Errors  invalid_argument: not a folder.
  static Result<Sysroot> at(const std::filesystem::path& folder);

  /// Whether the machine is this one: only then may its kernel and its libraries be asked.
  bool is_here() const { return root_ == "/"; }

  /// The path without links, as the machine sees it. Nothing if it does not exist, or loops.
  std::optional<std::filesystem::path> real(const std::filesystem::path& path) const;
  bool is_file(const std::filesystem::path& path) const;
  bool is_folder(const std::filesystem::path& path) const;

  /// The first `limit` bytes of a regular file; nothing if there is none that can be read.
  std::optional<std::string> read(const std::filesystem::path& path, std::size_t limit = 64 << 10) const;
  /// The names in a folder, sorted; the first 16,384 that the file system lists.
  std::vector<std::string> list(const std::filesystem::path& folder) const;

  /// Where a path of the machine is on this one, its links resolved: for readers that open it themselves.
  /// Nothing if it does not exist on another machine.
  std::optional<std::filesystem::path> on_disk(const std::filesystem::path& path) const;

 private:
  std::filesystem::path root_ = "/";
};

}  // namespace kernels::machine
