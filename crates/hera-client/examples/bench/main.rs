//! What answers in `make bench`, on one thread: behind the broker as worker, behind other middles as HTTP/1.1 server, with the same jobs.
//!
//! ```sh
//! bench worker SESSIONS              # the jobs, by so many workers; HERA and SECRET from the environment
//! bench crowd SESSIONS ENDPOINTS     # so many workers, each with so many endpoints of its own: GET /0/crowd/{worker}/{n}/{id}
//! bench front HOST:PORT          # /0/front/none, bus and http: asks GET /0/small nowhere, over the bus, or over HTTP there, with TOKEN
//! bench backend PORT                 # the jobs over HTTP/1.1 on 127.0.0.1
//! ```

mod answers;
mod backend;
mod front;
mod workers;

use std::io;

/// The broker's; an application has the one that it chooses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u16>().ok());
    match (arguments.first().map(String::as_str), number(1), number(2)) {
        (Some("worker"), Some(sessions), None) => workers::serve(sessions, |_| workers::jobs()).await?,
        (Some("crowd"), Some(sessions), Some(endpoints)) => {
            workers::serve(sessions, |worker| workers::own(worker, endpoints)).await?;
        }
        (Some("front"), None, None) => {
            let through = arguments.get(1).and_then(|text| text.parse().ok());
            let through = through.ok_or_else(|| io::Error::other("bench front HOST:PORT"))?;
            let token = std::env::var("TOKEN").unwrap_or_default();
            workers::serve(1, |_| front::app(through, &token)).await?;
        }
        (Some("backend"), Some(port), None) => backend::serve(port).await?,
        _ => {
            return Err(
                io::Error::other("bench worker N | crowd N N | front HOST:PORT | backend PORT").into()
            );
        }
    }
    Ok(())
}
