#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "archive_walk.h"

struct ZSTD_DCtx_s;

namespace kernels::bundle {

/// Unpacks one zstd frame while it is read. Errors  integrity: damaged, or more than the one frame.
class ZstdInput {
 public:
  ZstdInput(Input packed, std::string where);
  ZstdInput(const ZstdInput&) = delete;
  ZstdInput& operator=(const ZstdInput&) = delete;
  ~ZstdInput();

  /// The next bytes, valid until the next call; empty at the end of the frame, when that is the end of the
  /// file.
  Result<std::span<const std::byte>> next();

 private:
  struct Free {
    void operator()(ZSTD_DCtx_s* context) const;
  };

  Input packed_;
  std::string where_;
  std::unique_ptr<ZSTD_DCtx_s, Free> context_;
  std::vector<std::byte> buffer_;
  std::span<const std::byte> rest_;  ///< packed bytes that wait
  bool is_complete_ = false;
};

}  // namespace kernels::bundle
