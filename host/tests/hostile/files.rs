//! Directories, files and paths in quantities that nobody granted.

use crate::fixture::{Host, Reply};
use crate::member::{Member, hostile, hostile_p3};

members! {
    // Together more than a process has descriptors, of which the bystander's clients need some.
    files_by_the_thousand: granted(hostile("/open/4000")).at_once(8).answers("quota");
    files_by_the_thousand_p3: granted(hostile_p3("/open/2000")).at_once(8).answers("Quota");
    paths_of_a_megabyte: granted(hostile("/paths/1000000")).answers("Err").traps("");
    reads_beyond_all_offsets: granted(hostile("/read-at")).answers("[");
    // Whoever opens it waits for somebody at its other end, who never comes.
    a_pipe_that_nobody_writes_to: with_pipe(hostile("/fifo")).answers("not-permitted");
    a_pipe_that_nobody_writes_to_p3: with_pipe(hostile_p3("/fifo")).answers("NotPermitted");
    links_in_a_circle: granted(hostile("/links")).answers("[Err(").and(has_opened_nothing);
    // The threads that read it have each had some pages of the allocator's, which it keeps for later;
    // more rounds do not make them more.
    listings_of_a_large_directory: granted(hostile("/list/4000")).at_once(8)
        .plan(large_directory)
        .leaving(96 << 20)
        .answers("quota");
    // Answered at once; the listings live on with the instance.
    listings_that_nobody_reads_p3: granted(hostile_p3("/list/600"))
        .answers("600 listings")
        .breaks_off("trap")
        .traps("free keys");
}

/// The data directory, which has a file.
fn granted(member: Member) -> Member {
    let directory = "directories = [{ host = \"data\", guest = \"/data\", mode = \"read-write\" }]";
    let member = member.grants(directory);
    member.plan(|plan| plan.file("data/file", "what is in it"))
}

/// The data directory, which has a named pipe.
fn with_pipe(member: Member) -> Member {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let name = std::ffi::CString::new(pipe.to_str().unwrap()).unwrap();
    // SAFETY: the name is a C string that outlives the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let grant = format!(
        "directories = [{{ host = {:?}, guest = \"/data\" }}]",
        folder.path()
    );
    member.grants(&grant).and(move |_, _| {
        let _ = &folder;
    })
}

fn large_directory(plan: crate::fixture::Plan) -> crate::fixture::Plan {
    let name = "n".repeat(200);
    (0..5000).fold(plan, |plan, n| plan.file(&format!("data/{name}{n}"), ""))
}

fn has_opened_nothing(_: &Host, replies: &[Reply]) {
    for reply in replies {
        assert!(!reply.text().contains("Ok("), "{reply:?}");
    }
}
