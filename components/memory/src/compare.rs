//! How two stretches of memory compare: eight bytes at a time.
//!
//! Picture to hold in mind: two ribbons laid side by side and measured with a ruler instead of a pin. The compiler
//! turns each comparison of two texts into a call of `memcmp` or `bcmp`, and on `wasm32-unknown-unknown` those that
//! come with Rust go byte by byte, while the names that are compared most (`/registry/pods/default/web-…`) differ
//! only near their end. The linker prefers these to those.

/// The eight bytes at `place`, in the order in which they decide.
///
/// # Safety
/// They may be read.
unsafe fn eight(place: *const u8) -> u64 {
    // SAFETY: as the caller promises.
    u64::from_be_bytes(unsafe { place.cast::<[u8; 8]>().read() })
}

/// As [`eight`], of `count` bytes below eight; the order of two such numbers of equal `count` is that of their bytes.
///
/// # Safety
/// They may be read.
unsafe fn few(place: *const u8, count: usize) -> u64 {
    // SAFETY: each place is below `count`.
    unsafe {
        if count >= 4 {
            // The two halves overlap: what is read twice is equal, or has decided already.
            let half = |place: *const u8| u64::from(u32::from_be_bytes(place.cast::<[u8; 4]>().read()));
            return half(place) << 32 | half(place.add(count - 4));
        }
        let letter = |index: usize| u64::from(place.add(index).read());
        if count == 0 { 0 } else { letter(0) << 16 | letter(count / 2) << 8 | letter(count - 1) }
    }
}

/// The first eight bytes or fewer that differ, as numbers whose order is theirs; equal ones if none does.
///
/// # Safety
/// `count` bytes may be read from both.
unsafe fn difference(a: *const u8, b: *const u8, count: usize) -> (u64, u64) {
    // SAFETY: what is read ends at `count` at the latest.
    unsafe {
        if count < 8 {
            return (few(a, count), few(b, count));
        }
        let last = count - 8;
        let mut place = 0;
        while place < last {
            let (left, right) = (eight(a.add(place)), eight(b.add(place)));
            if left != right {
                return (left, right);
            }
            place += 8;
        }
        (eight(a.add(last)), eight(b.add(last)))
    }
}

/// C's `memcmp`: below, at or above zero.
///
/// # Safety
/// As in C: `count` bytes may be read from both.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    // SAFETY: as the caller promises.
    let (left, right) = unsafe { difference(a, b, count) };
    i32::from(left > right) - i32::from(left < right)
}

/// `bcmp`: zero if they are equal.
///
/// # Safety
/// As for [`memcmp`].
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    // SAFETY: as the caller promises.
    let (left, right) = unsafe { difference(a, b, count) };
    i32::from(left != right)
}

#[cfg(test)]
mod tests {
    use super::{bcmp, memcmp};

    #[test]
    fn bytes_compare_as_slices_do() {
        let text: Vec<u8> = (0..40_u8).map(|place| place.wrapping_mul(37)).collect();
        for count in 0..text.len() {
            for changed in 0..=count {
                for by in [1, 128, 255] {
                    let mut other = text.clone();
                    // At `count` nothing that is compared changes.
                    other[changed] = other[changed].wrapping_add(by);
                    // What follows the first difference must not decide.
                    other[changed + 1..].reverse();
                    let (a, b) = (&text[..count], &other[..count]);
                    // SAFETY: both are `count` bytes long.
                    let (order, differs) = unsafe {
                        (memcmp(a.as_ptr(), b.as_ptr(), count), bcmp(a.as_ptr(), b.as_ptr(), count))
                    };
                    assert_eq!(order.cmp(&0), a.cmp(b), "{a:?} and {b:?}");
                    assert_eq!(differs == 0, a == b, "{a:?} and {b:?}");
                }
            }
        }
    }
}
