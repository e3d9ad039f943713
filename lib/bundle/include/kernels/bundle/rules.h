#pragma once

#include <string>
#include <string_view>

#include "kernels/base/error.h"

namespace kernels::bundle {

/// Why a bundle is refused. Each rule has a short name, which stands in the error and in the tests.
///
/// - `frame-magic`    the file begins as a zstd frame does
/// - `frame-form`     no dictionary, no reserved bits; the content's size and a checksum are stated
/// - `frame-window`   a window of at most 128 MiB
/// - `frame-ratio`    at most 1000 times larger when unpacked
/// - `frame-single`   one frame, which ends where the file ends
/// - `frame-content`  it unpacks, to the size and checksum that it states
/// - `archive-form`   a tar archive: zeros as padding, two blocks of zeros at the end, nothing behind
/// - `archive-size`   the size that follows from the index
/// - `entry-format`   plain ustar headers: no PAX, no GNU extension, no sparse file
/// - `entry-type`     a regular file: no link, folder, device, FIFO
/// - `entry-mode`     mode 0644: nothing executable, no setuid
/// - `entry-owner`    owner and group 0, without names
/// - `entry-time`     the fixed time, 1980-01-01
/// - `entry-header`   in all other bytes, too, the header that the writer makes
/// - `entry-order`    the entries of the index, each once, in its order; the index first
/// - `entry-size`     the size that the index states
/// - `entry-content`  the SHA-256 that the index states, and git's hash where that is the blob's name
/// - `index-size`     an index, lock, sum and root within fixed limits
/// - `index-form`     exactly the text that this program writes for the same values
/// - `index-names`    names of the format, safe paths inside a repository
/// - `index-entries`  the three fixed entries first; each blob once, named by its hash, and used
/// - `index-files`    each place once, with an entry of its size and hash
/// - `index-totals`   sums that add up
/// - `lock-sum`       a `kernels.sum` that belongs to the `kernels.lock` beside it
/// - `lock-index`     files that `kernels.sum` has: repository, commit, ref, path, size, hash
/// - `variant-whole`  variants that are complete
/// - `locked-content` while packing: content with the hash that the lock states
/// - `reader`         the process that unpacks ends in order and says only what it may say
struct Refusal {
  std::string_view rule;
  std::string where;     ///< the file, and the entry in it
  std::string expected;  ///< completes "expected …"
  std::string found;     ///< completes "found …"
};

/// Errc::integrity, one line: `WHERE: expected EXPECTED, found FOUND (rule NAME)`.
std::unexpected<Error> refuse(const Refusal& refusal);

/// Text from a bundle, in backticks, fit for one line of a terminal: printable ASCII, at most 120 characters.
std::string in_ticks(std::string_view text);

}  // namespace kernels::bundle
