#pragma once

// Verifying who signed a variant: in a folder, on the Hub, while it is being downloaded. Not part of the
// public interface.

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cache/verified.h"
#include "kernels/ops/download.h"
#include "kernels/ops/signatures.h"

#include "variant_content.h"
#include "variant_digest.h"

namespace kernels::ops {

enum class WithDigest {
  no,   ///< the files are elsewhere, or have been compared
  yes,  ///< they are read and compared too
};

/// Verifies the metadata of a variant against its signature, and its files against the metadata's digest.
verify::VariantVerification verify_variant(VariantContent& content, const SignatureRules& rules,
                                           WithDigest digest, const KnownBlob& known = {});

/// The same for a variant in the cache whose files are verified under the names of their blobs. One that was
/// verified under the same rules has a receipt in `record`; a new success gets one.
VariantSignature verify_cached(VariantContent& content, const LockedKernel& kernel,
                               const LockedVariant& variant, const SignatureRules& rules,
                               cache::VerifiedRecord& record);

/// Adds the receipt of a success whose files were compared.
void keep_receipt(cache::VerifiedRecord& record, const LockedVariant& variant, const SignatureRules& rules,
                  const VariantSignature& signature);

/// Tells of signatures that are wrong, and of new kernels without one.
void warn_of_signatures(const std::vector<VariantSignature>& signatures, const EventSink& events);

/// Verifies the signatures of a download's variants on a thread of its own, each as soon as its metadata and
/// signature are there, while the other files still come.
/// Threads  for the thread that made it; `failed` may be asked at any time.
class SignatureWork {
 public:
  /// `plan` must outlive it. With the policy `off` nothing is done.
  SignatureWork(const cache::Layout& layout, const SignatureRules& rules, const DownloadPlan& plan);
  SignatureWork(const SignatureWork&) = delete;
  SignatureWork& operator=(const SignatureWork&) = delete;
  ~SignatureWork();

  /// A blob is there now.
  void arrived(const FetchItem& item);
  /// A variant that the rules refuse, as far as is known now; null: none.
  const VariantSignature* refused();
  /// When all files are there: waits, compares them with the signed digests, and keeps receipts. In the order
  /// of the plan.
  std::vector<VariantSignature> finish();

 private:
  struct Job {
    const LockedKernel* kernel;
    const LockedVariant* variant;
    std::set<std::string> missing;  // blobs of its metadata and signature that are not there yet
    bool is_new = false;
    std::optional<VariantSignature> result;
  };

  void add(const LockedKernel& kernel, const LockedVariant& variant, const cache::VerifiedRecord& record,
           const DownloadPlan& plan);
  void work();
  void compare(Job& job) const;
  void refuse_if_bad(const VariantSignature& signature);
  void keep_receipts();

  cache::Layout layout_;
  const SignatureRules& rules_;
  std::deque<Job> jobs_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job*> ready_;
  const VariantSignature* refused_ = nullptr;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace kernels::ops
