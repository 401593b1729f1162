// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Containers and owners for the inside of the library, which every translation unit of a user compiles.
///
/// They do what `std::vector`, `std::span`, `std::unique_ptr` and `std::shared_ptr` do, as far as the library needs it, and are
/// here for the time that a compilation takes: of a type that is new to it, each of those costs some 50 functions and 20 ms,
/// these a tenth. What only shows or sets a member is inlined always: without optimisation a call takes the compiler longer
/// than what is called.

#include <atomic>
#include <cstddef>
#include <new>
#include <utility>

namespace taskmgr::detail {

/// A sequence in one piece of memory, which grows at its end. What moves an item must not throw.
///
/// Throws `std::bad_alloc` where it has to grow and cannot; then nothing has changed. Thread safety: as a container.
template <class T>
class List {
 public:
  [[gnu::always_inline]] List() = default;
  [[gnu::always_inline]] List(List&& other) noexcept { swap(other); }
  List& operator=(List&& other) noexcept {
    swap(other);
    return *this;
  }
  ~List() {
    clear();
    ::operator delete(items_);
  }

  [[nodiscard, gnu::always_inline]] std::size_t size() const noexcept { return size_; }
  [[nodiscard, gnu::always_inline]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard, gnu::always_inline]] T* begin() noexcept { return items_; }
  [[nodiscard, gnu::always_inline]] T* end() noexcept { return items_ + size_; }
  [[nodiscard, gnu::always_inline]] const T* begin() const noexcept { return items_; }
  [[nodiscard, gnu::always_inline]] const T* end() const noexcept { return items_ + size_; }
  [[nodiscard, gnu::always_inline]] T& operator[](std::size_t k) noexcept { return items_[k]; }
  [[nodiscard, gnu::always_inline]] const T& operator[](std::size_t k) const noexcept { return items_[k]; }
  [[nodiscard, gnu::always_inline]] T& back() noexcept { return items_[size_ - 1]; }

  void reserve(std::size_t capacity) {
    static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
    if (capacity <= capacity_) return;
    T* const items = static_cast<T*>(::operator new(capacity * sizeof(T)));
    for (std::size_t k = 0; k < size_; ++k) {
      ::new (static_cast<void*>(items + k)) T(static_cast<T&&>(items_[k]));
      items_[k].~T();
    }
    ::operator delete(items_);
    items_ = items;
    capacity_ = capacity;
  }
  /// For so many more, with room to spare.
  [[gnu::always_inline]] void make_room(std::size_t more) {
    if (size_ + more > capacity_) reserve(2 * size_ + more + 4);
  }
  void push_back(T item) {
    if (size_ == capacity_) make_room(1);
    ::new (static_cast<void*>(items_ + size_)) T(static_cast<T&&>(item));
    ++size_;
  }
  [[gnu::always_inline]] void pop_back() noexcept { items_[--size_].~T(); }
  /// Those behind it move up.
  void erase(T* at) noexcept {
    for (; at + 1 != end(); ++at) *at = static_cast<T&&>(at[1]);
    pop_back();
  }
  [[gnu::always_inline]] void clear() noexcept {
    while (size_ != 0) pop_back();
  }

 private:
  [[gnu::always_inline]] void swap(List& other) noexcept {
    T* const items = items_;
    const std::size_t size = size_;
    const std::size_t capacity = capacity_;
    items_ = other.items_;
    size_ = other.size_;
    capacity_ = other.capacity_;
    other.items_ = items;
    other.size_ = size;
    other.capacity_ = capacity;
  }

  T* items_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

/// Owns what `new` made.
template <class T>
class Owner {
 public:
  [[gnu::always_inline]] Owner() = default;
  [[gnu::always_inline]] explicit Owner(T* object) noexcept : object_(object) {}
  [[gnu::always_inline]] Owner(Owner&& other) noexcept : object_(other.release()) {}
  Owner& operator=(Owner&& other) noexcept {
    const Owner old(object_);  // ended last: its destructor may come back here
    object_ = other.release();
    return *this;
  }
  ~Owner() { delete object_; }

  [[nodiscard, gnu::always_inline]] T* get() const noexcept { return object_; }
  [[nodiscard, gnu::always_inline]] T* operator->() const noexcept { return object_; }
  [[nodiscard, gnu::always_inline]] T& operator*() const noexcept { return *object_; }
  [[nodiscard, gnu::always_inline]] explicit operator bool() const noexcept { return object_ != nullptr; }
  [[nodiscard, gnu::always_inline]] T* release() noexcept {
    T* const object = object_;
    object_ = nullptr;
    return object;
  }

 private:
  T* object_ = nullptr;
};

/// What `Shared` counts in the objects that it owns.
struct Sharers {
  std::atomic<std::size_t> sharers{1};
};

/// Owns what `new` made, a `T` with `Sharers`, together with its copies: the last of them ends it.
///
/// Thread safety: as an `int`; copies may be on any threads.
template <class T>
class Shared {
 public:
  [[gnu::always_inline]] Shared() = default;
  /// Takes over a share: that of a new object, or one that was released.
  [[gnu::always_inline]] explicit Shared(T* object) noexcept : object_(object) {}
  Shared(const Shared& other) noexcept : object_(other.object_) {
    if (object_ != nullptr) object_->sharers.fetch_add(1, std::memory_order_relaxed);
  }
  [[gnu::always_inline]] Shared(Shared&& other) noexcept : object_(other.release()) {}
  Shared& operator=(Shared other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Shared() {
    if (object_ != nullptr && object_->sharers.fetch_sub(1, std::memory_order_acq_rel) == 1) delete object_;
  }

  /// Takes a share of an object, for a `Shared` to be made of it; false if its last share was given up, and it is about to end.
  [[nodiscard]] static bool join(T& object) noexcept {
    std::size_t sharers = object.sharers.load(std::memory_order_relaxed);
    while (sharers != 0 && !object.sharers.compare_exchange_weak(sharers, sharers + 1, std::memory_order_relaxed)) {
    }
    return sharers != 0;
  }

  [[nodiscard, gnu::always_inline]] T* get() const noexcept { return object_; }
  [[nodiscard, gnu::always_inline]] T* operator->() const noexcept { return object_; }
  [[nodiscard, gnu::always_inline]] explicit operator bool() const noexcept { return object_ != nullptr; }
  [[nodiscard, gnu::always_inline]] T* release() noexcept {
    T* const object = object_;
    object_ = nullptr;
    return object;
  }

 private:
  T* object_ = nullptr;
};

/// A sequence that somebody else owns.
template <class T>
class Items {
 public:
  [[gnu::always_inline]] Items(T* items, std::size_t size) noexcept : items_(items), size_(size) {}
  template <std::size_t n>
  [[gnu::always_inline]] Items(T (&items)[n]) noexcept : items_(items), size_(n) {}

  [[nodiscard, gnu::always_inline]] std::size_t size() const noexcept { return size_; }
  [[nodiscard, gnu::always_inline]] T* begin() const noexcept { return items_; }
  [[nodiscard, gnu::always_inline]] T* end() const noexcept { return items_ + size_; }
  [[nodiscard, gnu::always_inline]] T& operator[](std::size_t k) const noexcept { return items_[k]; }

 private:
  T* items_;
  std::size_t size_;
};

/// Owns what `new[]` made.
template <class T>
class Array {
 public:
  [[gnu::always_inline]] Array() = default;
  [[gnu::always_inline]] explicit Array(T* items) noexcept : items_(items) {}
  [[gnu::always_inline]] Array(Array&& other) noexcept : items_(other.items_) { other.items_ = nullptr; }
  Array& operator=(Array&& other) noexcept {
    const Array old(items_);
    items_ = other.items_;
    other.items_ = nullptr;
    return *this;
  }
  ~Array() { delete[] items_; }

  [[nodiscard, gnu::always_inline]] T* get() const noexcept { return items_; }
  [[nodiscard, gnu::always_inline]] T& operator[](std::size_t k) const noexcept { return items_[k]; }
  [[nodiscard, gnu::always_inline]] explicit operator bool() const noexcept { return items_ != nullptr; }

 private:
  T* items_ = nullptr;
};

}  // namespace taskmgr::detail
