#include <algorithm>
#include <cerrno>
#include <chrono>
#include <map>
#include <set>

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "kernels/base/log.h"
#include "kernels/cache/verified.h"

#include "bundle_parts.h"
#include "download_digests.h"
#include "variant_signature.h"

namespace kernels::ops {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kIncoming = "incoming-";

/// Folders of imports that were killed, and that nothing has touched for an hour.
void sweep(const fs::path& folder) {
  std::error_code ignored;
  for (fs::directory_iterator it(folder, ignored), end; !ignored && it != end; it.increment(ignored)) {
    if (!it->path().filename().string().starts_with(kIncoming)) continue;
    auto age = fs::file_time_type::clock::now() - it->last_write_time(ignored);
    if (age > std::chrono::hours(1)) fs::remove_all(it->path(), ignored);
  }
}

/// Where a bundle's blobs wait until all of it is right: a folder of its own on the cache's file system, gone
/// at the end, whatever the end is.
class Incoming final : public bundle::BlobSink {
 public:
  Incoming(const cache::Layout& layout, const BundleContents& contents, const BundleImportOptions& options,
           const EventSink& events)
      : layout_(layout), contents_(contents), options_(options), meter_(contents, events) {}
  Incoming(const Incoming&) = delete;
  Incoming& operator=(const Incoming&) = delete;
  ~Incoming() override { remove(); }

  Status prepare() {
    auto ours = layout_.root() / ".kernels-v1";
    sweep(ours);
    find_present();
    folder_ = ours / (std::string(kIncoming) + random_suffix());
    if (auto made = make_folders(folder_); !made) return made;
    return check_space();
  }

  Status begin(const bundle::Entry& blob) override {
    if (present_.contains(blob.sha256)) return {};
    offset_ = 0;
    name_ = place(blob.sha256).string();
    file_.reset(::open(name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (!file_) return fail(system_error("write", name_, errno));
    return {};
  }
  Status data(std::span<const std::byte> bytes) override {
    meter_.add_bytes(bytes.size());
    if (!file_) return {};
    auto written = write_at(file_.get(), bytes, offset_, name_);
    offset_ += bytes.size();
    return written;
  }
  Status end(const bundle::Entry& blob) override {
    meter_.add_file();
    if (!file_) return {};
    // On its way to the disk already while the next one is unpacked.
    if (options_.durable == Durable::yes) ::sync_file_range(file_.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
    written_.emplace(blob.sha256, blob.size);
    file_.reset();
    return {};
  }

  /// The files of a variant where they lie now; they are verified by now.
  std::unique_ptr<VariantContent> content(const BundledKernel& kernel, const std::string& variant) const {
    std::map<std::string, PlacedFile> files;
    auto prefix = "build/" + variant + "/";
    for (const auto& file : kernel.files) {
      if (!file.entry.path.str().starts_with(prefix)) continue;
      auto there =
          present_.contains(file.sha256) ? layout_.blob(kernel.repo, file.entry.blob) : place(file.sha256);
      files.emplace(file.entry.path.str().substr(prefix.size()),
                    PlacedFile{.place = there, .size = file.entry.size});
    }
    return placed_content(std::move(files));
  }

  /// Gives every blob its names in the cache.
  Status publish(BundleImportReport& report) {
    for (const auto& [sha256, size] : written_) {
      if (auto flushed = flush(place(sha256)); !flushed) return flushed;
      ++report.written_blobs;
      report.written_bytes += size;
    }
    for (const auto& kernel : contents_.kernels)
      if (auto published = publish_blobs(kernel); !published) return published;
    return {};
  }

  void remove() {
    std::error_code ignored;
    if (!folder_.empty()) fs::remove_all(folder_, ignored);
    folder_.clear();
  }

 private:
  fs::path place(const std::string& sha256) const { return folder_ / sha256; }

  /// Contents that every repository of the bundle that needs them has, and that were verified there.
  void find_present() {
    std::set<std::string> missing;
    for (const auto& kernel : contents_.kernels) {
      auto record = cache::VerifiedRecord::load(layout_, kernel.repo);
      for (const auto& file : kernel.files) {
        auto stamp = file_stamp(layout_.blob(kernel.repo, file.entry.blob));
        bool is_there =
            stamp && stamp->size == file.entry.size && record.is_verified(file.entry.blob, *stamp);
        (is_there ? present_ : missing).insert(file.sha256);
      }
    }
    for (const auto& sha256 : missing)
      present_.erase(sha256);
  }

  Status check_space() const {
    std::map<std::string_view, std::uint64_t> needed;
    for (const auto& kernel : contents_.kernels)
      for (const auto& file : kernel.files)
        if (!present_.contains(file.sha256)) needed.emplace(file.sha256, file.entry.size);
    std::uint64_t bytes = 0;
    for (const auto& [sha256, size] : needed)
      bytes += size;
    struct statvfs disk{};
    if (::statvfs(folder_.c_str(), &disk) != 0) return {};  // what is missing will show
    auto free = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
    if (bytes <= free) return {};
    return fail(Error(Errc::io, "the bundle needs " + std::to_string(bytes) + " bytes in `" +
                                    layout_.root().string() + "`, where " + std::to_string(free) +
                                    " are free")
                    .with_hint("make space there, or name another cache with `--cache`"));
  }

  Status flush(const fs::path& path) const {
    if (options_.durable == Durable::no) return {};
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd || ::fsync(fd.get()) != 0) return fail(system_error("flush", path.string(), errno));
    return {};
  }

  Status publish_blobs(const BundledKernel& kernel) const {
    auto blobs = layout_.blobs(kernel.repo);
    if (auto made = make_folders(blobs); !made) return made;
    std::set<BlobId> done;
    for (const auto& file : kernel.files) {
      if (present_.contains(file.sha256) || !done.insert(file.entry.blob).second) continue;
      if (auto published = publish_blob(place(file.sha256), layout_.blob(kernel.repo, file.entry.blob));
          !published)
        return published;
    }
    return options_.durable == Durable::yes ? sync_folder(blobs) : Status{};
  }

  /// A second name, as one content may belong to several repositories; a copy where files cannot have two.
  Status publish_blob(const fs::path& from, const fs::path& to) const {
    fs::path beside = to;
    beside += "." + random_suffix() + ".incomplete";
    if (::link(from.c_str(), beside.c_str()) != 0) {
      std::error_code code;
      fs::copy_file(from, beside, code);
      if (code) return fail(system_error("copy to", beside.string(), code.value()));
      if (auto flushed = flush(beside); !flushed) return flushed;
    }
    auto renamed = rename_path(beside, to);
    if (!renamed) ::unlink(beside.c_str());
    return renamed;
  }

  const cache::Layout& layout_;
  const BundleContents& contents_;
  const BundleImportOptions& options_;
  BundleMeter meter_;
  fs::path folder_;
  std::set<std::string> present_;                 ///< SHA-256 of what need not be written
  std::map<std::string, std::uint64_t> written_;  ///< SHA-256 of what was, and its size
  UniqueFd file_;
  std::string name_;
  std::uint64_t offset_ = 0;
};

const LockedKernel& locked_kernel(const bundle::Bundle& bundle, const BundledKernel& kernel) {
  return *std::ranges::find_if(bundle.lock().kernels, [&](const LockedKernel& item) {
    return item.repo == kernel.repo && item.commit == kernel.commit && item.ref == kernel.ref;
  });
}

const LockedVariant& locked_variant(const LockedKernel& kernel, const std::string& name) {
  return *std::ranges::find(kernel.variants, name, &LockedVariant::name);
}

/// Holds each variant against its digest and its signature.
Status check_variants(const bundle::Bundle& bundle, const Incoming& incoming, const SignatureRules& rules,
                      BundleImportReport& report) {
  for (const auto& kernel : report.contents.kernels) {
    const auto& locked = locked_kernel(bundle, kernel);
    for (const auto& item : kernel.variants) {
      const auto& variant = locked_variant(locked, item.name);
      auto content = incoming.content(kernel, item.name);
      if (auto right = check_variant_digest(*content, locked, variant); !right) return right;
      if (rules.policy() == SignaturePolicy::off) continue;
      VariantSignature signature{
          .repo = kernel.repo, .commit = kernel.commit, .variant = item.name, .result = {}, .is_new = true};
      signature.result = verify_variant(*content, rules, WithDigest::no);
      if (rules.policy() == SignaturePolicy::require && !signature.is_good())
        return fail(signature_error(signature));
      report.signatures.push_back(std::move(signature));
    }
  }
  return {};
}

/// Links, then the record of what was verified, then refs: whoever sees a ref finds everything behind it.
Status publish_names(const cache::Layout& layout, const bundle::Bundle& bundle,
                     const BundleImportReport& report, const BundleImportOptions& options) {
  for (const auto& kernel : report.contents.kernels) {
    std::vector<FileEntry> files;
    for (const auto& file : kernel.files)
      files.push_back(file.entry);
    auto published = cache::publish_snapshot(layout, kernel.repo, kernel.commit, files, options.links);
    if (!published) return published;
    auto record = cache::VerifiedRecord::load(layout, kernel.repo);
    for (const auto& file : files)
      record.note(layout, kernel.repo, file.blob);
    for (const auto& signature : report.signatures)
      if (signature.repo == kernel.repo && signature.commit == kernel.commit)
        keep_receipt(record, locked_variant(locked_kernel(bundle, kernel), signature.variant),
                     options.signatures, signature);
    if (auto saved = record.save(layout, kernel.repo); !saved)
      log(LogLevel::info, "the record of verified blobs is not kept: " + saved.error().text());
  }
  for (const auto& kernel : report.contents.kernels)
    if (auto published = cache::publish_ref(layout, kernel.repo, kernel.ref, kernel.commit); !published)
      return published;
  return {};
}

Result<BundleImportReport> import_opened(const cache::Layout& layout, bundle::Bundle& bundle,
                                         BundleContents contents, const BundleImportOptions& options,
                                         const EventSink& events, const std::stop_token& stop) {
  BundleImportReport report{.contents = std::move(contents)};
  Incoming incoming(layout, report.contents, options, events);
  auto done = incoming.prepare();
  if (done) done = bundle.read_blobs(incoming, stop);
  if (done) done = check_variants(bundle, incoming, options.signatures, report);
  if (done) done = incoming.publish(report);
  incoming.remove();  // before the record is made: a name less changes the time of a blob's last change
  if (done) done = publish_names(layout, bundle, report, options);
  if (!done) return fail(std::move(done).error());
  warn_of_signatures(report.signatures, events);
  return report;
}

}  // namespace

Result<BundleImportReport> import_bundle(const cache::Layout& layout, const fs::path& file,
                                         const BundleImportOptions& options, const EventSink& events,
                                         const std::stop_token& stop) {
  const std::string advice =
      "nothing of it is in the cache; copy the bundle again, or make it anew with `kernels download "
      "--bundle`";
  auto bundle = bundle::Bundle::open(file);
  if (!bundle) return fail(with_advice(std::move(bundle).error(), advice));
  auto report = import_opened(layout, **bundle, contents_of(**bundle, file), options, events, stop);
  if (!report) return fail(with_advice(std::move(report).error(), advice));
  return report;
}

}  // namespace kernels::ops
