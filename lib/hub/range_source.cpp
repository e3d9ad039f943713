#include "kernels/hub/range_source.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/base/log.h"
#include "kernels/hub/retry.h"
#include "kernels/hub/url.h"

namespace kernels::hub {

namespace {

constexpr std::uint64_t kMaxHeld = 32ULL << 20;
/// A single read is nearly always followed by one right behind it.
constexpr std::uint64_t kReadAhead = 512;
/// Pieces that are so near are one request: the gap costs less than a request does.
constexpr std::uint64_t kGap = 256;

class RangeSource final : public ByteSource {
 public:
  RangeSource(HttpClient& client, Api& api, std::string url, std::uint64_t size, std::stop_token stop,
              RangeCounters& counters)
      : client_(client),
        api_(api),
        url_(std::move(url)),
        size_(size),
        stop_(std::move(stop)),
        counters_(counters) {}

  std::uint64_t size() const override { return size_; }

  Result<ByteView> view(std::uint64_t offset, std::uint64_t length) override {
    if (auto fits = check_view(offset, length); !fits) return std::unexpected(std::move(fits).error());
    if (length == 0) return ByteView();
    if (auto held = find(offset, length)) return *held;
    if (auto got = fetch({{.offset = offset, .length = std::max(length, kReadAhead)}}); !got)
      return std::unexpected(std::move(got).error());
    if (auto held = find(offset, length)) return *held;
    return assemble(offset, length);
  }

  void prefetch(std::span<const ByteExtent> extents) override {
    auto fetched = fetch({extents.begin(), extents.end()});
    if (!fetched) log(LogLevel::debug, describe(fetched.error()));
  }

 private:
  using Pieces = std::map<std::uint64_t, std::string>;

  /// The piece that holds the byte at `offset`.
  Pieces::const_iterator piece_at(std::uint64_t offset) const {
    auto after = pieces_.upper_bound(offset);
    if (after == pieces_.begin()) return pieces_.end();
    auto piece = std::prev(after);
    return offset < piece->first + piece->second.size() ? piece : pieces_.end();
  }

  std::optional<ByteView> find(std::uint64_t offset, std::uint64_t length) const {
    auto piece = piece_at(offset);
    if (piece == pieces_.end()) return std::nullopt;
    auto part = std::string_view(piece->second).substr(offset - piece->first);
    if (part.size() < length) return std::nullopt;
    return ByteView(part.substr(0, length));
  }

  /// A range that lies in several pieces.
  Result<ByteView> assemble(std::uint64_t offset, std::uint64_t length) {
    scratch_.clear();
    while (scratch_.size() < length) {
      auto at = offset + scratch_.size();
      auto piece = piece_at(at);
      if (piece == pieces_.end()) return fail(Errc::network, "the server left out bytes of a range");
      scratch_ += std::string_view(piece->second).substr(at - piece->first, length - scratch_.size());
    }
    return ByteView(std::string_view(scratch_));
  }

  /// Pieces must not overlap, so that the one that begins last before a byte is the one that holds it.
  bool is_short_gap(std::uint64_t begin, std::uint64_t end) const {
    auto held = pieces_.lower_bound(begin);
    return end - begin <= kGap && (held == pieces_.end() || held->first >= end);
  }

  /// The parts of the extents that are not held yet, near ones joined.
  std::vector<ByteExtent> missing(std::vector<ByteExtent> extents) const {
    std::vector<ByteExtent> out;
    std::ranges::sort(extents, {}, &ByteExtent::offset);
    for (const auto& extent : extents) {
      auto offset = std::min(extent.offset, size_);
      const auto end = offset + std::min(extent.length, size_ - offset);
      if (!out.empty()) offset = std::max(offset, out.back().offset + out.back().length);
      while (offset < end) {
        auto held = piece_at(offset);
        if (held != pieces_.end()) {
          offset = held->first + held->second.size();
          continue;
        }
        auto next = pieces_.lower_bound(offset);
        auto stop = next == pieces_.end() ? end : std::min(end, next->first);
        bool near = !out.empty() && is_short_gap(out.back().offset + out.back().length, offset);
        if (near)
          out.back().length = stop - out.back().offset;
        else
          out.push_back({.offset = offset, .length = stop - offset});
        offset = stop;
      }
    }
    return out;
  }

  Status fetch(std::vector<ByteExtent> extents) {
    auto wanted = missing(std::move(extents));
    if (wanted.empty()) return {};
    for (const auto& extent : wanted) {
      held_ += extent.length;
      if (held_ > kMaxHeld)
        return fail(Errc::unsupported,
                    "more of the file would have to be fetched than it is worth; download it");
    }
    // The first request of all learns where the file really is.
    if (direct_url_.empty()) {
      request(wanted.front());
      wanted.erase(wanted.begin());
      if (auto driven = drive(); !driven) return driven;
    }
    for (const auto& extent : wanted)
      request(extent);
    return drive();
  }

  Status drive() {
    auto driven = client_.run(stop_);
    if (failure_) return fail(*std::exchange(failure_, std::nullopt));
    return driven;
  }

  void request(const ByteExtent& extent) {
    ++counters_.requests;
    HttpRequest request{.url = direct_url_.empty() ? url_ : direct_url_};
    request.range = ByteRange{.first = extent.offset, .last = extent.offset + extent.length - 1};
    request.max_body = extent.length;
    api_.get(std::move(request), [this, extent](Result<HttpResponse> response) {
      if (auto taken = take(extent, std::move(response)); !taken && !failure_)
        failure_ = std::move(taken).error().while_doing("reading a part of `" + display_url(url_) + "`");
    });
  }

  Status take(const ByteExtent& extent, Result<HttpResponse> response) {
    if (!response) return std::unexpected(std::move(response).error());
    bool is_whole = extent.offset == 0 && extent.length == size_ && response->head.status == 200;
    if (response->head.status != 206 && !is_whole) {
      if (response->head.status == 200)
        return fail(Errc::network, "the server does not answer range requests");
      return std::unexpected(error_from(*response, nullptr));
    }
    auto answer = parse_content_range(response->head.header("content-range").value_or(""));
    bool is_other = !answer || answer->first != extent.offset ||
                    answer->last != extent.offset + extent.length - 1 || answer->total != size_;
    if (!is_whole && is_other)
      return fail(Errc::network, "the server answers with another range than was asked for: `" +
                                     response->head.header("content-range").value_or("none") + "`");
    if (response->body.size() != extent.length)
      return fail(Errc::network, "the server sent " + std::to_string(response->body.size()) + " of " +
                                     std::to_string(extent.length) + " bytes");
    counters_.bytes += response->body.size();
    if (direct_url_.empty()) direct_url_ = response->head.url;
    pieces_.emplace(extent.offset, std::move(response->body));
    return {};
  }

  HttpClient& client_;
  Api& api_;
  std::string url_;
  std::string direct_url_;
  std::uint64_t size_;
  std::stop_token stop_;
  RangeCounters& counters_;
  Pieces pieces_;
  std::string scratch_;
  std::uint64_t held_ = 0;
  std::optional<Error> failure_;
};

}  // namespace

std::unique_ptr<ByteSource> make_range_source(HttpClient& client, Api& api, std::string url,
                                              std::uint64_t size, std::stop_token stop,
                                              RangeCounters& counters) {
  return std::make_unique<RangeSource>(client, api, std::move(url), size, std::move(stop), counters);
}

}  // namespace kernels::hub
