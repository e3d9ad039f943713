// One download: files wait in a queue, at most `jobs` of them are open at a time, each is one or several
// ranges in flight. Everything here runs on the thread inside HttpClient::run; the store's threads only post
// completions.
//
// A large file begins with one range. Its first answer shows how far away the server is: near, the file comes
// in one stream, whose bytes are hashed from memory; far, in ranges over several connections, because one
// connection cannot fill a long pipe.

#include "kernels/ops/download.h"

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>

#include "kernels/base/file.h"
#include "kernels/base/log.h"
#include "kernels/cache/blob_store.h"
#include "kernels/cache/verified.h"
#include "kernels/hub/api.h"
#include "kernels/hub/retry.h"
#include "kernels/hub/url.h"
#include "kernels/ops/resolver.h"

#include "cache_use.h"
#include "download_digests.h"
#include "variant_signature.h"

namespace kernels::ops {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kSplitAbove = 8 * kMiB;
constexpr std::uint64_t kLargestRange = 64 * kMiB;
constexpr std::size_t kRangesPerFile = 12;
constexpr std::size_t kSmallChunk = 64 << 10;
/// What a kill can lose of a large file: a chunk for each of its ranges, well below 8 MiB together. A file in
/// one stream has larger ones, because each wakes the thread that hashes.
constexpr std::size_t kLargeChunk = 256 << 10;
constexpr std::size_t kStreamChunk = 1 << 20;
constexpr std::chrono::seconds kLongestLockWait{60};

bool is_signature_file(const RepoPath& path) {
  return path.str().ends_with("/metadata.json") || path.str().ends_with("/metadata.json.sigstore");
}

struct File {
  explicit File(FetchItem fetch) : item(std::move(fetch)) {}
  FetchItem item;
  std::shared_ptr<cache::BlobWriter> writer;
  FileLock lock;
  std::deque<cache::Extent> todo;  // not in flight
  std::size_t in_flight = 0;
  bool knows_distance = false;
  std::size_t parallel = 1;
  std::uint64_t range_size = 0;
  std::string direct_url;  // where the first answer came from, if the Hub redirected to another place
  bool retried = false;    // some bytes came in a second try, or were resumed
  bool restarted = false;
  std::optional<Clock::time_point> waiting_since;  // for another process's lock
};

/// One request for a piece of a file. `position` moves as bytes come.
struct Range {
  std::shared_ptr<File> file;
  cache::Extent extent;
  std::uint64_t position = 0;  // of the next byte of the body
  std::uint64_t accepted = 0;  // up to here the bytes were taken, in the extent
  cache::Buffer chunk;
  int attempt = 1;
  bool moved = false;  // bytes came in this attempt
};

Error too_many_bytes(const FetchItem& item) {
  return Error(Errc::integrity, "the server sends more than the " + std::to_string(item.file.size) +
                                    " bytes that were locked for `" + item.file.path.str() + "`")
      .with_hint("nothing of it was kept; lock again only if you know why the file changed");
}

class Downloader {
 public:
  Downloader(const cache::Layout& layout, const DownloadOptions& options, SignatureWork& signatures,
             const EventSink& events)
      : layout_(layout),
        options_(options),
        signatures_(signatures),
        events_(events),
        client_(hub::make_http_client(client_options(options))),
        store_(layout) {}

  Result<DownloadReport> run(const DownloadPlan& plan, const std::stop_token& stop) {
    report_.files_present = plan.present_files;
    progress_.files_total = plan.fetch.size() + plan.unchecked.size();
    progress_.bytes_total = plan.fetch_bytes;
    for (const auto& item : plan.unchecked)
      verify(item);
    for (const auto& item : plan.fetch)
      queue_.push_back(std::make_shared<File>(item));
    // Signatures first: they are verified while the rest comes. Then the largest.
    std::ranges::stable_sort(queue_, std::greater<>(), [](const auto& file) {
      return std::pair(is_signature_file(file->item.file.path), file->item.file.size);
    });
    std::stop_callback forward(stop, [this] { stop_.request_stop(); });
    open_more();
    auto driven = client_->run(stop_.get_token());
    let_go();
    save_records();
    if (failure_) return fail(std::move(*failure_));
    if (!driven) return fail(std::move(driven).error());
    report_.counters = client_->counters();
    return report_;
  }

 private:
  static hub::HttpOptions client_options(const DownloadOptions& options) {
    auto out = http_options(options.settings, options.user_agent);
    out.max_connections = options.jobs;
    return out;
  }

  /// A file that never completed and its completion hold each other.
  void let_go() {
    for (auto& file : active_)
      file->writer.reset();
    active_.clear();
    queue_.clear();
  }

  void give_up(Error error) {
    if (!failure_) failure_ = std::move(error);
    stop_.request_stop();
  }

  void give_up(Error error, const FetchItem& item) {
    give_up(std::move(error).while_doing("downloading `" + item.file.path.str() + "` of `" + item.repo.str() +
                                         "` at " + item.commit.abbreviated()));
  }

  // --- what is there already ---

  void verify(const FetchItem& item) {
    client_->expect_post();
    store_.verify(
        layout_.blob(item.repo, item.file.blob), item.file.blob, item.file.size, [this, item](Status status) {
          client_->post(
              [this, item, status = std::move(status)]() mutable { verified(item, std::move(status)); });
        });
  }

  void verified(const FetchItem& item, Status status) {
    ++report_.files_verified;
    if (status) {
      ++progress_.files_done;
      return record(item);
    }
    if (status.error().code() == Errc::io) return give_up(std::move(status).error(), item);
    if (options_.settings.offline)
      return give_up(std::move(status).error().with_hint("offline it cannot be fetched again; unset "
                                                         "`HF_HUB_OFFLINE` and run the command again"),
                     item);
    events_(Warning{"a file in the cache was not what its name says and is fetched again: " +
                    status.error().text()});
    progress_.bytes_total += item.file.size;
    queue_.push_back(std::make_shared<File>(item));
    open_more();
  }

  void record(const FetchItem& item) {
    signatures_.arrived(item);
    if (const auto* refused = signatures_.refused()) give_up(signature_error(*refused));
    auto [found, is_new] = records_.try_emplace(item.repo);
    if (is_new) found->second = cache::VerifiedRecord::load(layout_, item.repo);
    found->second.note(layout_, item.repo, item.file.blob);
  }

  void save_records() {
    for (const auto& [repo, record] : records_)
      if (auto saved = record.save(layout_, repo); !saved) log(LogLevel::info, describe(saved.error()));
  }

  // --- opening files ---

  void open_more() {
    while (!queue_.empty() && open_files_ < options_.jobs && !failure_) {
      auto file = std::move(queue_.front());
      queue_.pop_front();
      ++open_files_;
      open_locked(std::move(file));
    }
  }

  /// Takes the lock that the Python packages take too; without working locks the work is merely done twice.
  void open_locked(std::shared_ptr<File> file) {
    auto lock_path = layout_.lock(file->item.repo, file->item.file.blob);
    std::error_code ignored;
    std::filesystem::create_directories(lock_path.parent_path(), ignored);
    auto [outcome, lock] = FileLock::try_lock(lock_path);
    if (outcome == FileLock::Outcome::held_by_another && keep_waiting(*file)) {
      client_->after(std::chrono::milliseconds(100), [this, file = std::move(file)]() mutable {
        if (!failure_) open_locked(std::move(file));
      });
      return;
    }
    file->lock = std::move(lock);
    bool other_was_faster =
        file->waiting_since && file_stamp(layout_.blob(file->item.repo, file->item.file.blob));
    if (!other_was_faster) return open(file);
    --open_files_;
    verify(file->item);
    open_more();
  }

  bool keep_waiting(File& file) {
    if (!file.waiting_since) {
      file.waiting_since = Clock::now();
      events_(Note{"waiting for another process that downloads `" + file.item.file.path.str() + "`"});
    }
    return Clock::now() - *file.waiting_since < kLongestLockWait;
  }

  cache::BlobStore::Completion completion_of(const std::shared_ptr<File>& file) {
    client_->expect_post();
    return [this, file](Status status) {
      client_->post(
          [this, file, status = std::move(status)]() mutable { completed(file, std::move(status)); });
    };
  }

  void open(const std::shared_ptr<File>& file) {
    const auto& entry = file->item.file;
    auto writer = store_.open(file->item.repo, entry.blob, entry.size, completion_of(file));
    if (!writer) return give_up(std::move(writer).error(), file->item);
    file->writer = std::move(*writer);
    active_.push_back(file);
    file->retried = file->writer->resumed() > 0;
    report_.bytes_resumed += file->writer->resumed();
    progress_.bytes_done += file->writer->resumed();
    plan_ranges(*file);
    pump(file);
  }

  static void plan_ranges(File& file) {
    auto size = file.item.file.size;
    file.range_size = std::clamp(size / (2 * kRangesPerFile), kSplitAbove, kLargestRange);
    for (const auto& gap : file.writer->missing())
      file.todo.push_back(gap);
  }

  /// Starts as many requests as the file may have in flight.
  void pump(const std::shared_ptr<File>& file) {
    while (!file->todo.empty() && file->in_flight < file->parallel && !failure_) {
      auto& next = file->todo.front();
      bool near = file->knows_distance && file->parallel == 1;
      auto length = near || next.size() <= file->range_size ? next.size() : file->range_size;
      // The first request of a large file is small: it is there to learn the distance.
      if (!file->knows_distance && next.size() > kSplitAbove) length = kSplitAbove;
      cache::Extent extent{.begin = next.begin, .end = next.begin + length};
      next.begin = extent.end;
      if (next.begin == next.end) file->todo.pop_front();
      ++file->in_flight;
      auto range = std::make_shared<Range>();
      range->file = file;
      range->extent = extent;
      range->accepted = extent.begin;
      request(range);
    }
  }

  // --- one range ---

  void request(const std::shared_ptr<Range>& range) {
    const auto& item = range->file->item;
    bool whole = range->accepted == 0 && range->extent.end == item.file.size;
    hub::HttpRequest request;
    request.url = range->file->direct_url.empty() ? hub::resolve_url(options_.settings.endpoint, item.repo,
                                                                     item.commit.str(), item.file.path)
                                                  : range->file->direct_url;
    if (!whole) request.range = hub::ByteRange{.first = range->accepted, .last = range->extent.end - 1};
    request.is_bulk =
        range->file->knows_distance && range->file->parallel == 1 && range->extent.size() > kSplitAbove;
    range->moved = false;
    request.sink = hub::BodySink{
        .begin = [this, range](const hub::ResponseHead& head) { return begin(*range, head); },
        .data = [this, range](std::span<const std::byte> bytes) { return take(*range, bytes); }};
    client_->start(std::move(request), [this, range](Result<hub::HttpResponse> response) {
      if (!failure_) ended(range, std::move(response));
    });
  }

  Status begin(Range& range, const hub::ResponseHead& head) {
    const auto& item = range.file->item;
    auto length = head.content_length();
    if (head.status == 200) {
      // The whole file, asked for or not: bytes before the range are passed over.
      if (length && *length > item.file.size) return fail(too_many_bytes(item));
      if (length && *length < item.file.size)
        return fail(Error(Errc::integrity, "the server announces " + std::to_string(*length) +
                                               " bytes, but " + std::to_string(item.file.size) +
                                               " were locked"));
      range.position = 0;
      range.file->todo.clear();
      range.extent.end = item.file.size;
    } else {
      auto answer = hub::parse_content_range(head.header("content-range").value_or(""));
      bool right = answer && answer->first == range.accepted && answer->last < range.extent.end &&
                   answer->last >= answer->first && answer->total == item.file.size;
      if (!right)
        return fail(Errc::network, "the server answers with another range than was asked for: `" +
                                       head.header("content-range").value_or("none") + "`");
      range.position = answer->first;
    }
    learn(*range.file, head);
    return {};
  }

  /// After the first answer: from where to fetch the rest, and over how many connections.
  void learn(File& file, const hub::ResponseHead& head) {
    if (file.knows_distance) return;
    file.knows_distance = true;
    bool elsewhere = hub::origin_of(head.url).value_or(hub::Origin{}) !=
                     hub::origin_of(options_.settings.endpoint).value_or(hub::Origin{});
    if (elsewhere) file.direct_url = head.url;
    auto distance = client_->distance();
    bool far = distance && *distance > options_.near;
    if (far && file.item.file.size > kSplitAbove) file.parallel = kRangesPerFile;
    // The other ranges start from the event loop, not from inside libcurl's callback.
    if (file.parallel > 1)
      client_->after(std::chrono::milliseconds(0), [this, item = &file] { pump_by_pointer(item); });
  }

  void pump_by_pointer(const File* file) {
    auto found = std::ranges::find_if(active_, [&](const auto& active) { return active.get() == file; });
    if (found != active_.end()) pump(*found);
  }

  static std::size_t chunk_size(const File& file) {
    if (file.item.file.size <= kSplitAbove) return kSmallChunk;
    return file.parallel == 1 ? kStreamChunk : kLargeChunk;
  }

  Status take(Range& range, std::span<const std::byte> bytes) {
    range.moved = true;
    if (range.position < range.accepted) {
      auto skip = std::min<std::uint64_t>(range.accepted - range.position, bytes.size());
      range.position += skip;
      bytes = bytes.subspan(skip);
    }
    if (bytes.size() > range.extent.end - range.position) return fail(too_many_bytes(range.file->item));
    range.position += bytes.size();
    auto chunk = chunk_size(*range.file);
    while (!bytes.empty()) {
      auto limit = std::min<std::uint64_t>(chunk, range.extent.end - range.accepted);
      if (range.chunk.capacity() == 0) range.chunk = store_.buffer(limit);
      bytes = bytes.subspan(range.chunk.append(bytes));
      if (range.chunk.space() == 0)
        if (auto flushed = flush(range); !flushed) return flushed;
    }
    return {};
  }

  Status flush(Range& range) {
    if (range.chunk.empty()) return {};
    auto size = range.chunk.size();
    auto written = range.file->writer->write(range.accepted, std::exchange(range.chunk, {}));
    if (!written) return written;
    range.accepted += size;
    report_.bytes_fetched += size;
    progress_.bytes_done += size;
    show_progress();
    return {};
  }

  void show_progress() {
    auto now = Clock::now();
    if (now - shown_ < std::chrono::milliseconds(50)) return;
    shown_ = now;
    events_(progress_);
  }

  void ended(const std::shared_ptr<Range>& range, Result<hub::HttpResponse> response) {
    // What came before a break is worth keeping.
    if (auto flushed = flush(*range); !flushed) return give_up(std::move(flushed).error(), range->file->item);
    bool complete = response && response->head.status < 300 && range->accepted == range->extent.end;
    if (!complete) return retry_or_fail(range, std::move(response));
    --range->file->in_flight;
    pump(range->file);
  }

  void retry_or_fail(const std::shared_ptr<Range>& range, Result<hub::HttpResponse> response) {
    auto& file = *range->file;
    bool is_answer = response && response->head.status >= 300;
    bool stale_address = is_answer && !file.direct_url.empty() && response->head.status < 500;
    if (stale_address) file.direct_url.clear();  // signed addresses expire: ask the Hub again
    bool transient = stale_address || (is_answer && hub::is_transient(response->head.status)) ||
                     (response && !is_answer) || (!response && response.error().code() == Errc::network);
    if (range->moved) range->attempt = 1;
    auto delay = hub::retry_delay(range->attempt, is_answer ? std::optional(response->head) : std::nullopt);
    // What a server sent that lies about the file is not gone on with.
    if (!response && response.error().code() == Errc::integrity) file.writer->discard();
    if (!transient || range->attempt > options_.settings.max_retries || !delay)
      return give_up(failure_of(*range, std::move(response)), file.item);
    ++range->attempt;
    file.retried = true;
    log(LogLevel::info,
        "trying again in " + std::to_string(delay->count()) + " ms: " + file.item.file.path.str());
    client_->after(*delay, [this, range] {
      if (!failure_) request(range);
    });
  }

  static Error failure_of(const Range& range, Result<hub::HttpResponse> response) {
    if (!response) return std::move(response).error();
    if (response->head.status >= 300) return hub::error_from(*response, &range.file->item.repo);
    return Error(Errc::network, "the server ends the file after " + std::to_string(range.accepted) + " of " +
                                    std::to_string(range.file->item.file.size) + " bytes")
        .with_hint("the connection may be unstable; what came is kept, run the command again to go on");
  }

  // --- the end of a file ---

  void completed(const std::shared_ptr<File>& file, Status status) {
    if (status) {
      --open_files_;
      ++report_.files_fetched;
      ++progress_.files_done;
      file->lock = {};
      std::erase(active_, file);
      record(file->item);
      events_(progress_);
      return open_more();
    }
    bool is_wrong = status.error().code() == Errc::integrity;
    if (is_wrong && file->retried && !file->restarted && !failure_) return start_over(file);
    if (is_wrong) file->writer->discard();
    give_up(std::move(status).error(), file->item);
  }

  /// Bytes of several tries were put together: perhaps one of them was cut badly. Once more, in one piece.
  void start_over(const std::shared_ptr<File>& file) {
    events_(Note{"`" + file->item.file.path.str() +
                 "` was not right after a resumed download; fetching it anew"});
    file->restarted = true;
    if (auto restarted = file->writer->restart(completion_of(file)); !restarted)
      return give_up(std::move(restarted).error(), file->item);
    progress_.bytes_done -= std::min(progress_.bytes_done, file->item.file.size);
    plan_ranges(*file);
    pump(file);
  }

  cache::Layout layout_;
  const DownloadOptions& options_;
  SignatureWork& signatures_;
  const EventSink& events_;
  std::unique_ptr<hub::HttpClient> client_;
  std::deque<std::shared_ptr<File>> queue_;
  std::vector<std::shared_ptr<File>> active_;
  std::size_t open_files_ = 0;
  std::map<RepoId, cache::VerifiedRecord> records_;
  DownloadReport report_;
  Progress progress_;
  Clock::time_point shown_;
  std::optional<Error> failure_;
  std::stop_source stop_;
  cache::BlobStore store_;  // last: its threads end before anything they call goes away
};

Status publish(const cache::Layout& layout, const DownloadPlan& plan, cache::Links links) {
  bool is_new = !plan.fetch.empty();
  for (const auto& item : plan.kernels) {
    const auto& kernel = *item.kernel;
    auto published = cache::publish_snapshot(layout, kernel.repo, kernel.commit, item.files, links);
    if (is_new) cache::sweep_leftovers(layout, kernel.repo);
    if (published) published = cache::publish_ref(layout, kernel.repo, kernel.ref, kernel.commit);
    if (!published)
      return fail(
          std::move(published).error().while_doing("adding `" + kernel.repo.str() + "` to the cache"));
  }
  return {};
}

/// For files that are in their places.
Status publish_refs(const cache::Layout& layout, const DownloadPlan& plan) {
  for (const auto& item : plan.kernels)
    if (auto published = cache::publish_ref(layout, item.kernel->repo, item.kernel->ref, item.kernel->commit);
        !published)
      return published;
  return {};
}

/// Nothing is left to do but to look.
bool is_published(const cache::Layout& layout, const DownloadPlan& plan) {
  if (!plan.fetch.empty() || !plan.unchecked.empty()) return false;
  return std::ranges::all_of(plan.kernels, [&](const DownloadPlan::Kernel& item) {
    return cache::has_snapshot_entries(layout, item.kernel->repo, item.kernel->commit, item.files);
  });
}

std::set<RepoId> repositories_of(const DownloadPlan& plan) {
  std::set<RepoId> out;
  for (const auto& item : plan.kernels)
    out.insert(item.kernel->repo);
  for (const auto& item : plan.fetch)
    out.insert(item.repo);
  return out;
}

}  // namespace

Result<DownloadReport> download(const cache::Layout& layout, const DownloadPlan& plan,
                                const DownloadOptions& options, const EventSink& events,
                                const std::stop_token& stop) {
  if (options.settings.offline && !plan.fetch.empty()) {
    const auto& first = plan.fetch.front();
    return fail(Error(Errc::network, "offline, but " + std::to_string(plan.fetch.size()) +
                                         " files are not in the cache; the first is `" +
                                         first.file.path.str() + "` of `" + first.repo.str() + "`")
                    .with_hint("unset `HF_HUB_OFFLINE` and run the command again"));
  }
  std::vector<CacheUse> in_use;
  bool is_there = is_published(layout, plan);
  if (!is_there)
    for (const auto& repo : repositories_of(plan))
      in_use.push_back(CacheUse::shared(layout, repo, stop));
  DownloadReport report;
  report.files_present = plan.present_files;
  SignatureWork signatures(layout, options.signatures, plan);
  if (const auto* refused = signatures.refused()) return fail(signature_error(*refused));
  if (!plan.fetch.empty() || !plan.unchecked.empty()) {
    auto done = Downloader(layout, options, signatures, events).run(plan, stop);
    if (const auto* refused = signatures.refused(); refused != nullptr && !done)
      forget_fetched(layout, plan, refused->repo);
    if (!done) return done;
    report = *done;
  }
  if (!is_there)
    if (auto right = check_new_variants(layout, plan); !right) return fail(std::move(right).error());
  report.signatures = signatures.finish();
  if (const auto* refused = signatures.refused()) {
    forget_fetched(layout, plan, refused->repo);
    return fail(signature_error(*refused));
  }
  warn_of_signatures(report.signatures, events);
  auto published = is_there ? publish_refs(layout, plan) : publish(layout, plan, options.links);
  if (!published) return fail(std::move(published).error());
  return report;
}

}  // namespace kernels::ops
