#include "kernels/ops/bundle.h"

#include <algorithm>
#include <map>

#include "kernels/base/hash.h"

#include "bundle_parts.h"

namespace kernels::ops {

namespace fs = std::filesystem;

Result<bundle::PackReport> pack_bundle(const cache::Layout& layout, const DownloadPlan& plan,
                                       const BundleTexts& texts, const fs::path& output,
                                       const std::stop_token& stop) {
  bundle::PackRequest request{.output = output,
                              .lock_text = texts.lock,
                              .sum_text = texts.sum,
                              .trusted_root = texts.trusted_root,
                              .kernels = {}};
  for (const auto& item : plan.kernels) {
    const auto& locked = *item.kernel;
    bundle::SourceKernel kernel{.repo = locked.repo, .commit = locked.commit, .ref = locked.ref, .files = {}};
    for (const auto& file : item.files)
      kernel.files.push_back({.entry = file, .content = layout.blob(locked.repo, file.blob)});
    request.kernels.push_back(std::move(kernel));
  }
  return bundle::write_bundle(request, stop);
}

std::string variant_of(const RepoPath& path) {
  auto rest = path.str().substr(std::min(path.str().size(), path.str().find('/') + 1));
  return rest.substr(0, rest.find('/'));
}

static TrustSource trust_of(const Lock& lock, const bundle::Kernel& kernel) {
  auto found = std::ranges::find_if(lock.kernels, [&](const LockedKernel& locked) {
    return locked.repo == kernel.repo && locked.commit == kernel.commit && locked.ref == kernel.ref;
  });
  return found == lock.kernels.end() ? TrustSource::hub : found->trust;
}

static BundledKernel summarize(const Lock& lock, const bundle::Kernel& kernel) {
  BundledKernel out{.repo = kernel.repo,
                    .commit = kernel.commit,
                    .ref = kernel.ref,
                    .trust = trust_of(lock, kernel),
                    .variants = {},
                    .files = kernel.files};
  std::map<std::string, BundledVariant> variants;
  for (const auto& file : kernel.files) {
    auto name = variant_of(file.entry.path);
    auto& variant = variants.try_emplace(name, BundledVariant{.name = name}).first->second;
    ++variant.files;
    variant.bytes += file.entry.size;
    if (file.entry.path.str() == "build/" + name + "/metadata.json.sigstore") variant.is_signed = true;
  }
  for (auto& [name, variant] : variants)
    out.variants.push_back(std::move(variant));
  return out;
}

BundleContents contents_of(const bundle::Bundle& bundle, const fs::path& file) {
  const auto& index = bundle.index();
  BundleContents out{.file = file.string(),
                     .bundle_bytes = bundle.frame().compressed_bytes,
                     .trusted_root_sha256 = sha256_hex(bundle.trusted_root()),
                     .kernels = {},
                     .confinement = bundle.confinement()};
  for (const auto& entry : index.entries) {
    if (!entry.path.starts_with(bundle::kBlobFolder)) continue;
    ++out.blobs;
    out.blob_bytes += entry.size;
  }
  for (const auto& kernel : index.kernels) {
    out.kernels.push_back(summarize(bundle.lock(), kernel));
    out.files += kernel.files.size();
    for (const auto& item : kernel.files)
      out.file_bytes += item.entry.size;
  }
  return out;
}

Error with_advice(Error error, const std::string& advice) {
  return error.code() == Errc::integrity ? std::move(error).with_hint(advice) : std::move(error);
}

BundleMeter::BundleMeter(const BundleContents& contents, const EventSink& events) : events_(events) {
  progress_.files_total = contents.blobs;
  progress_.bytes_total = contents.blob_bytes;
}

void BundleMeter::add_bytes(std::uint64_t bytes) {
  progress_.bytes_done += bytes;
  events_(progress_);
}

static const char* const kAdvice = "copy the bundle again, or make it anew with `kernels download --bundle`";

namespace {

/// Only looks.
class Verifying final : public bundle::BlobSink {
 public:
  Verifying(const BundleContents& contents, const EventSink& events) : meter_(contents, events) {}
  Status begin(const bundle::Entry& /*blob*/) override { return {}; }
  Status data(std::span<const std::byte> bytes) override {
    meter_.add_bytes(bytes.size());
    return {};
  }
  Status end(const bundle::Entry& /*blob*/) override {
    meter_.add_file();
    return {};
  }

 private:
  BundleMeter meter_;
};

}  // namespace

Result<BundleContents> list_bundle(const fs::path& file) {
  auto bundle = bundle::Bundle::open(file);
  if (!bundle) return fail(with_advice(std::move(bundle).error(), kAdvice));
  return contents_of(**bundle, file);
}

Result<BundleContents> verify_bundle(const fs::path& file, const EventSink& events,
                                     const std::stop_token& stop) {
  auto bundle = bundle::Bundle::open(file);
  if (!bundle) return fail(with_advice(std::move(bundle).error(), kAdvice));
  auto contents = contents_of(**bundle, file);
  Verifying sink(contents, events);
  if (auto read = (*bundle)->read_blobs(sink, stop); !read)
    return fail(with_advice(std::move(read).error(), kAdvice));
  return contents;
}

}  // namespace kernels::ops
