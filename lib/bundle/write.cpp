#include "kernels/bundle/write.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <tuple>

#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

#include "kernels/base/hash.h"
#include "kernels/bundle/frame.h"

#include "content_reader.h"
#include "tar_header.h"

namespace kernels::bundle {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kPiece = 1 << 20;

// The parameters are a part of the format's promise that equal content gives equal bytes.
constexpr int kLevel = 3;
constexpr int kWindowLog = 27;

// --- what is packed, and in which order ------------------------------------------------------------------

/// Alike files follow each other: by kind, and then those of one name in different variants.
using Order = std::tuple<std::string, std::string, std::string, std::string>;

struct Placed {
  Content content;
  Order order;
};

class Collector {
 public:
  /// The index's file for a source; its content is noted if it is new.
  Result<File> add(const SourceKernel& kernel, const Source& source) {
    auto sha256 = hash(source);
    if (!sha256) return fail(std::move(sha256).error());
    if (source.entry.size > kMaxEntryBytes)
      return fail(Errc::unsupported, "`" + source.entry.path.str() + "` of `" + kernel.repo.str() +
                                         "` has 8 GiB or more, which no entry of a bundle can have");
    Placed placed{.content = {.path = source.content, .size = source.entry.size, .sha256 = *sha256},
                  .order = order_of(kernel, source)};
    auto [place, is_new] = contents_.try_emplace(*sha256, placed);
    if (!is_new && placed.order < place->second.order) place->second = std::move(placed);
    return File{.entry = source.entry, .sha256 = std::move(*sha256)};
  }

  std::vector<Content> sorted() {
    std::vector<Placed> all;
    for (auto& [sha256, placed] : contents_)
      all.push_back(std::move(placed));
    std::ranges::sort(all, {}, &Placed::order);
    std::vector<Content> out;
    for (auto& placed : all)
      out.push_back(std::move(placed.content));
    return out;
  }

 private:
  /// Large files are named by their SHA-256, which is checked while they are packed; others are small, and
  /// are read here.
  Result<std::string> hash(const Source& source) {
    if (source.entry.blob.is_sha256()) return source.entry.blob.str();
    Hasher sha256(HashAlgorithm::sha256);
    auto git = source.entry.blob.hasher(source.entry.size);
    auto read =
        for_each_piece(source.content, source.entry.size, buffer_, [&](std::span<const std::byte> piece) {
          sha256.update(piece);
          git.update(piece);
          return Status{};
        });
    if (!read) return fail(std::move(read).error());
    auto found = git.finish_hex();
    if (found != source.entry.blob.str())
      return wrong_bytes(source.content, "content with the hash " + source.entry.blob.str(), found);
    return sha256.finish_hex();
  }

  static Order order_of(const SourceKernel& kernel, const Source& source) {
    const auto& path = source.entry.path.str();
    auto in_variant = path.substr(std::min(path.size(), path.find('/', path.find('/') + 1)));
    auto extension = fs::path(path).extension().string();
    return {extension, kernel.repo.str(), in_variant, path + "@" + kernel.commit.str()};
  }

  std::map<std::string, Placed> contents_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(kPiece);
};

Entry text_entry(std::string_view name, const std::string& text) {
  return {.path = std::string(name), .size = text.size(), .sha256 = sha256_hex(text)};
}

// --- the compressed file ---------------------------------------------------------------------------------

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ::ZSTD_freeCCtx(context); }
};

class Compressor {
 public:
  Compressor(int fd, const std::string& name) : context_(::ZSTD_createCCtx()), fd_(fd), name_(name) {}

  /// `size` is that of everything that will be written; the frame states it.
  Status begin(std::uint64_t size) {
    if (!context_) return fail(Errc::io, "no memory to pack `" + name_ + "`");
    auto set = [&](ZSTD_cParameter parameter, int value) {
      return ::ZSTD_isError(::ZSTD_CCtx_setParameter(context_.get(), parameter, value)) == 0;
    };
    bool is_set = set(ZSTD_c_compressionLevel, kLevel) && set(ZSTD_c_windowLog, kWindowLog) &&
                  set(ZSTD_c_enableLongDistanceMatching, 1) && set(ZSTD_c_checksumFlag, 1) &&
                  set(ZSTD_c_contentSizeFlag, 1) &&
                  ::ZSTD_isError(::ZSTD_CCtx_setPledgedSrcSize(context_.get(), size)) == 0;
    if (!is_set) return fail(Errc::unsupported, "this zstd has no long windows");
    return {};
  }

  Status write(std::span<const std::byte> bytes) { return run(bytes, ZSTD_e_continue); }
  Status end() { return run({}, ZSTD_e_end); }
  std::uint64_t written() const { return offset_; }

 private:
  Status run(std::span<const std::byte> bytes, ZSTD_EndDirective directive) {
    ZSTD_inBuffer in{.src = bytes.data(), .size = bytes.size(), .pos = 0};
    for (;;) {
      ZSTD_outBuffer out{.dst = buffer_.data(), .size = buffer_.size(), .pos = 0};
      auto left = ::ZSTD_compressStream2(context_.get(), &out, &in, directive);
      if (::ZSTD_isError(left) != 0)
        return fail(Errc::io, "cannot pack `" + name_ + "`: " + ::ZSTD_getErrorName(left));
      if (auto put = write_at(fd_, std::span<const std::byte>(buffer_).first(out.pos), offset_, name_); !put)
        return put;
      offset_ += out.pos;
      start_writing_out();
      bool is_done = directive == ZSTD_e_end ? left == 0 : in.pos == in.size;
      if (is_done) return {};
    }
  }

  /// On its way to the disk already while the rest is packed, so that the flush at the end has little to do.
  void start_writing_out() {
    constexpr std::uint64_t kStep = 4 << 20;
    if (offset_ - started_ < kStep) return;
    ::sync_file_range(fd_, static_cast<off_t>(started_), static_cast<off_t>(offset_ - started_),
                      SYNC_FILE_RANGE_WRITE);
    started_ = offset_;
  }

  std::unique_ptr<ZSTD_CCtx, FreeContext> context_;
  int fd_;
  const std::string& name_;
  std::uint64_t offset_ = 0;
  std::uint64_t started_ = 0;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(kPiece);
};

class Packer {
 public:
  Packer(Compressor& compressor, const std::vector<Content>& contents, const std::stop_token& stop)
      : compressor_(compressor), reader_(contents), stop_(stop) {}

  Status text(std::string_view name, const std::string& content) {
    auto put = compressor_.write(tar_header(name, content.size()));
    if (put) put = compressor_.write(std::as_bytes(std::span(content.data(), content.size())));
    return put ? pad(content.size()) : put;
  }

  Status content(const Entry& entry) {
    if (auto put = compressor_.write(tar_header(entry.path, entry.size)); !put) return put;
    for (std::uint64_t done = 0; done < entry.size;) {
      if (stop_.stop_requested()) return fail(Errc::interrupted, "stopped while packing");
      auto piece = reader_.next();
      if (!piece) return fail(std::move(piece).error());
      if (auto put = compressor_.write(*piece); !put) return put;
      done += piece->size();
    }
    return pad(entry.size);
  }

  Status end() {
    constexpr std::array<std::byte, kEndBytes> kZeros{};
    if (auto put = compressor_.write(kZeros); !put) return put;
    return compressor_.end();
  }

 private:
  Status pad(std::uint64_t size) {
    constexpr std::array<std::byte, kTarBlock> kZeros{};
    return compressor_.write(std::span(kZeros).first(padding_bytes(size)));
  }

  Compressor& compressor_;
  ContentReader reader_;
  const std::stop_token& stop_;
};

Status pack(const PackRequest& request, const Index& index, const std::vector<Content>& contents,
            Compressor& compressor, const std::stop_token& stop) {
  auto index_text = render_index(index);
  auto done = compressor.begin(archive_bytes(index, index_text.size()));
  Packer packer(compressor, contents, stop);
  if (done) done = packer.text(kIndexName, index_text);
  if (done) done = packer.text(kLockName, request.lock_text);
  if (done) done = packer.text(kSumName, request.sum_text);
  if (done) done = packer.text(kRootName, request.trusted_root);
  for (const auto& entry : index.entries)
    if (done && entry.path.starts_with(kBlobFolder)) done = packer.content(entry);
  return done ? packer.end() : done;
}

Result<Index> make_index(const PackRequest& request, std::vector<Content>& contents,
                         std::uint64_t& file_bytes) {
  Index index;
  Collector collector;
  for (const auto& kernel : request.kernels) {
    Kernel item{.repo = kernel.repo, .commit = kernel.commit, .ref = kernel.ref, .files = {}};
    for (const auto& source : kernel.files) {
      auto file = collector.add(kernel, source);
      if (!file) return fail(std::move(file).error());
      file_bytes += source.entry.size;
      item.files.push_back(std::move(*file));
    }
    std::ranges::sort(item.files, {}, [](const File& file) { return file.entry.path; });
    index.kernels.push_back(std::move(item));
  }
  std::ranges::sort(index.kernels, {},
                    [](const Kernel& kernel) { return std::tie(kernel.repo, kernel.commit); });
  index.entries = {text_entry(kLockName, request.lock_text), text_entry(kSumName, request.sum_text),
                   text_entry(kRootName, request.trusted_root)};
  contents = collector.sorted();
  for (const auto& content : contents)
    index.entries.push_back(
        {.path = std::string(kBlobFolder) + content.sha256, .size = content.size, .sha256 = content.sha256});
  return index;
}

/// What was written is held against the reader's own bounds, so that no bundle is made that none can take.
Status check_readable(const fs::path& path, const Index& index) {
  auto where = "`" + path.string() + "`";
  auto checked = parse_index(render_index(index), where);
  if (!checked) return fail(std::move(checked).error().as(Errc::unsupported));
  auto source = open_file_source(path);
  if (!source) return fail(std::move(source).error());
  auto frame = examine_frame(**source, where);
  if (!frame) return fail(std::move(frame).error().as(Errc::unsupported));
  return {};
}

}  // namespace

Result<PackReport> write_bundle(const PackRequest& request, const std::stop_token& stop) {
  auto step = "packing `" + request.output.string() + "`";
  PackReport report;
  std::vector<Content> contents;
  auto index = make_index(request, contents, report.file_bytes);
  if (!index) return fail(std::move(index).error().while_doing(step));
  report.index = std::move(*index);

  fs::path beside = request.output;
  beside += "." + random_suffix() + ".tmp";
  auto name = beside.string();
  UniqueFd fd(::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!fd) return fail(system_error("write", request.output.string(), errno));
  Unfinished unfinished(beside);
  Compressor compressor(fd.get(), name);
  auto done = pack(request, report.index, contents, compressor, stop);
  if (done) done = check_readable(beside, report.index);
  if (!done) return fail(std::move(done).error().while_doing(step));
  report.bundle_bytes = compressor.written();
  if (request.durable == Durable::yes && ::fsync(fd.get()) != 0)
    return fail(system_error("flush", name, errno));
  if (auto renamed = rename_path(beside, request.output); !renamed) return fail(std::move(renamed).error());
  unfinished.keep();
  auto folder = request.output.parent_path().empty() ? fs::path(".") : request.output.parent_path();
  if (request.durable == Durable::yes)
    if (auto flushed = sync_folder(folder); !flushed) return fail(std::move(flushed).error());
  return report;
}

}  // namespace kernels::bundle
