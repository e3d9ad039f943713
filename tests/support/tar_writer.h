#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kernels::test {

/// An entry of a tar archive whose header may say anything. The defaults are those of a bundle.
struct TarEntry {
  std::string name;
  std::string content = {};
  char type = '0';
  unsigned mode = 0644;
  unsigned uid = 0;
  unsigned gid = 0;
  std::string uname = {};
  std::string gname = {};
  std::int64_t mtime = 315'532'800;
  std::string link = {};
  std::optional<std::uint64_t> stated_size = {};  ///< in place of the content's
  std::string magic = {"ustar\00000", 8};         ///< and version
  std::string prefix = {};
  char padding = '\0';
};

/// Header, content and padding.
std::string tar_entry(const TarEntry& entry);
/// An entry of type `type` (`x`, `g`) with PAX records: "LENGTH key=value\n" each.
std::string pax_entry(char type, const std::vector<std::pair<std::string, std::string>>& records);
/// Two blocks of zeros.
std::string tar_end();
std::string write_tar(const std::vector<TarEntry>& entries);

struct ZstdOptions {
  bool checksum = true;
  bool states_size = true;
  std::optional<int> window_log = {};
};
/// One zstd frame.
std::string zstd_frame(std::string_view content, const ZstdOptions& options = {});
std::string unzstd(std::string_view frame);

/// A frame of `blocks` blocks of 128 KiB zeros, which takes four bytes each: it states `stated` bytes.
std::string zstd_zeros(std::uint64_t blocks, std::uint64_t stated, unsigned char window_descriptor);

}  // namespace kernels::test
